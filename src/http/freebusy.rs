//! The free/busy address.
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::Site;
use super::target::Owner;
use crate::error::{Error, Result};

pub async fn answer(_site: &Data<Site>, _request: &HttpRequest, _owner: &Owner) -> Result<HttpResponse> {
    Err(Error::NotFound)
}
