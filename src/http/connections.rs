//! How many connections one address has: more than the configuration allows are closed before anything is read.

use std::any::Any;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use parking_lot::Mutex;
use rustix::net::Shutdown;

use crate::config::Proxy;

/// The connections of all addresses that are counted.
#[derive(Debug)]
pub struct Connections {
    most: usize,
    /// They stand for others.
    proxies: Vec<Proxy>,
    /// Guards the map only.
    open: Arc<Mutex<HashMap<IpAddr, Open>>>,
}

/// The connections of one address.
#[derive(Debug, Default)]
struct Open {
    count: usize,
    /// Whether the log knows that there are too many.
    told: bool,
}

/// One that is counted, until this is dropped.
#[derive(Debug)]
struct Counted {
    open: Arc<Mutex<HashMap<IpAddr, Open>>>,
    address: IpAddr,
}

impl Connections {
    pub fn new(most: usize, proxies: Vec<Proxy>) -> Connections {
        Connections { most, proxies, open: Arc::default() }
    }

    /// Counts a new connection for as long as its data lives, or closes it. Without an answer: a program takes a
    /// connection that breaks for a network that does, and a 503 for a reason to switch its calendar off.
    pub fn admit(&self, connection: &dyn Any, data: &mut Extensions) {
        // A Unix socket has no address; who may use it is told by its mode.
        let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
        let Ok(peer) = stream.peer_addr() else { return };
        match self.count(peer.ip().to_canonical()) {
            Ok(Some(counted)) => {
                data.insert(counted);
            }
            Ok(None) => {}
            Err(TooMany) => {
                // It may be gone already.
                let _ = rustix::net::shutdown(stream, Shutdown::Both);
            }
        }
    }

    /// Nothing for a proxy.
    fn count(&self, peer: IpAddr) -> Result<Option<Counted>, TooMany> {
        if self.proxies.contains(&Proxy::At(peer)) {
            return Ok(None);
        }
        let address = block(peer);
        let mut open = self.open.lock();
        let of_address = open.entry(address).or_default();
        if of_address.count == self.most {
            if !std::mem::replace(&mut of_address.told, true) {
                tracing::warn!(
                    "{peer} has {} connections, which is the most: further ones are closed",
                    self.most
                );
            }
            return Err(TooMany);
        }
        of_address.count += 1;
        Ok(Some(Counted { open: self.open.clone(), address }))
    }
}

/// The address has as many connections as it may.
#[derive(Debug)]
struct TooMany;

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        if let Some(of_address) = open.get_mut(&self.address) {
            of_address.count -= 1;
            if of_address.count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// What one customer gets: an IPv4 address, or an IPv6 /64 (RFC 6177).
fn block(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_has_so_many_connections_and_a_proxy_any_number() {
        let connections = Connections::new(2, vec![Proxy::At(address("192.0.2.9"))]);
        let count = |text: &str| connections.count(address(text));
        let (first, second) = (count("192.0.2.1"), count("192.0.2.1"));
        assert!(first.is_ok() && second.is_ok() && count("192.0.2.1").is_err());
        let other = count("192.0.2.2");
        assert!(other.is_ok());
        drop(first);
        assert!(count("192.0.2.1").is_ok());
        let proxied: Vec<_> = (0..5).map(|_| count("192.0.2.9")).collect();
        assert!(proxied.iter().all(Result::is_ok));
        drop((second, other));
        assert!(connections.open.lock().is_empty());
    }

    #[test]
    fn the_addresses_of_one_ipv6_customer_count_together() {
        let connections = Connections::new(1, Vec::new());
        let _first = connections.count(address("2001:db8::1"));
        assert!(connections.count(address("2001:db8::ffff:1")).is_err());
        assert!(connections.count(address("2001:db8:0:1::1")).is_ok());
    }
}
