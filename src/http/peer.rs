//! Who is at the other end of a connection, behind the proxies that the admin vouches for.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;

use super::Site;

/// Whether nobody between can listen: a Unix socket, this machine, or a proxy that the admin vouches for.
pub fn is_private(site: &Site, request: &HttpRequest) -> bool {
    match request.peer_addr() {
        None => true,
        Some(peer) => {
            let peer = peer.ip().to_canonical();
            peer.is_loopback() || site.trusts(Some(peer))
        }
    }
}

/// The client's address, which a Unix socket has none of; behind a proxy that the admin vouches for, the one that the proxy saw.
pub fn client(site: &Site, request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    match site.trusts(peer) {
        true => seen(request.headers(), |address| site.trusts(Some(address))).or(peer),
        false => peer,
    }
}

/// The address that the nearest proxy saw: read from the end of all lines of the header, since what stands before the
/// first untrusted address its owner may have made up. Forwarded counts only where X-Forwarded-For, which most proxies
/// write, is not there: a proxy that writes the one passes the client's own other on.
fn seen(headers: &HeaderMap, trusts: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let all = |name: &str, read: fn(&str) -> Vec<Option<IpAddr>>| -> Vec<Option<IpAddr>> {
        headers.get_all(name).filter_map(|value| value.to_str().ok()).flat_map(read).collect()
    };
    let addresses = match headers.contains_key("x-forwarded-for") {
        true => all("x-forwarded-for", listed),
        false => all("forwarded", forwarded_for),
    };
    addresses.into_iter().rev().map_while(|address| address).find(|address| !trusts(*address))
}

/// The addresses of an X-Forwarded-For header.
fn listed(value: &str) -> Vec<Option<IpAddr>> {
    value.split(',').map(address).collect()
}

/// The `for` addresses of a Forwarded header (RFC 7239 §4).
fn forwarded_for(value: &str) -> Vec<Option<IpAddr>> {
    let of_hop = |hop: &str| {
        let pair = hop
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| name.eq_ignore_ascii_case("for"));
        pair.and_then(|(_, value)| address(value))
    };
    value.split(',').map(of_hop).collect()
}

/// An address as proxies write it: bare, quoted, in brackets, with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split(']').next()?.parse().ok();
    }
    let without_port = || text.split_once(':')?.0.parse().ok();
    text.parse().ok().or_else(without_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_client_cannot_choose_the_address_that_a_proxy_saw() {
        let proxy = address("192.0.2.9");
        let found = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            seen(&headers, |address| Some(address) == proxy)
        };
        let client = address("198.51.100.7");
        assert_eq!(found(&[("x-forwarded-for", "203.0.113.1, 198.51.100.7, 192.0.2.9")]), client);
        assert_eq!(found(&[("x-forwarded-for", "203.0.113.1"), ("x-forwarded-for", "198.51.100.7")]), client);
        assert_eq!(found(&[("forwarded", "for=203.0.113.1"), ("x-forwarded-for", "198.51.100.7")]), client);
        assert_eq!(found(&[("forwarded", "for=203.0.113.1, for=198.51.100.7")]), client);
        assert_eq!(found(&[("x-forwarded-for", "203.0.113.1, unknown")]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            (" 192.0.2.1:4711", "192.0.2.1"),
            ("\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(address(text), expected.parse().ok(), "{text}");
        }
        assert_eq!(address("unknown"), None);
        assert_eq!(
            forwarded_for("for=192.0.2.1;proto=https, For=\"[::1]\""),
            [address("192.0.2.1"), address("::1")]
        );
        assert_eq!(listed("192.0.2.1, _hidden"), [address("192.0.2.1"), None]);
    }
}
