pub mod line;
pub mod recur;
pub mod tz;
pub mod value;
pub mod vtimezone;
