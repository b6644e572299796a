pub mod line;
pub mod tz;
pub mod value;
