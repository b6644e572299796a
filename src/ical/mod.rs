pub mod line;
pub mod value;
