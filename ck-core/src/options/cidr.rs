//! A network: an address and how many of its bits all addresses in it share.

use std::net::IpAddr;
use std::str::FromStr;

/// A network of IPv4 or IPv6 (RFC 4632, RFC 4291).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    /// The bits of the network, the others zero; of IPv4 the last 32.
    bits: u128,
    mask: u128,
    is_v6: bool,
}

impl Cidr {
    /// True for an address in the network. An IPv4 address in an IPv6 form counts as the IPv4 address that it is.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let (bits, is_v6) = bits_of(address.to_canonical());
        is_v6 == self.is_v6 && bits & self.mask == self.bits
    }
}

fn bits_of(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), false),
        IpAddr::V6(address) => (u128::from(address), true),
    }
}

impl FromStr for Cidr {
    type Err = ();

    /// `10.0.0.0/8`; an address alone is a network of one. Bits beyond the length have to be zero: otherwise another
    /// network was meant.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                (address, Some(length.parse::<u32>().map_err(drop)?))
            }
            Some(_) => return Err(()),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(drop)?;
        let (bits, is_v6) = bits_of(address);
        let width = if is_v6 { 128 } else { 32 };
        let length = length.unwrap_or(width);
        if length > width {
            return Err(());
        }
        let all = u128::MAX >> (128 - width);
        let mask = all.checked_shl(width - length).unwrap_or(0) & all;
        if bits & !mask != 0 {
            return Err(());
        }
        Ok(Cidr { bits, mask, is_v6 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_share_its_first_bits() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.0"),
            ("0.0.0.0/0", "8.8.8.8", "::1"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("192.168.4.0/22", "192.168.7.255", "192.168.8.0"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::10.1.1.1"),
            ("fd00::/8", "fdff::1", "fe80::1"),
            ("::/0", "2001:db8::1", "1.2.3.4"),
            ("2001:db8::1/128", "2001:db8::1", "2001:db8::2"),
        ] {
            let cidr: Cidr = network.parse().unwrap();
            assert!(cidr.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!cidr.contains(outside.parse().unwrap()), "{network} {outside}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "::/129",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "host/8",
            "10/8",
            "10.0.0.0/8/8",
            "10.0.0.0/99999999999",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text:?}");
        }
    }
}
