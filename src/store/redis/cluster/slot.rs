//! The slot of a key.

use std::cell::RefCell;

use crc::{CRC_16_XMODEM, Crc, Table};

use crate::planted::planted;

/// The number of slots of a cluster.
pub(crate) const SLOTS: u16 = 16384;

static CRC: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_XMODEM);

/// The slot of a key that begins with its hash tag, as all keys of a limiter do: `{tag}` and perhaps more.
/// (Redis cluster specification, "Key distribution model" and "Hash tags".)
pub(crate) fn of(key: &str) -> u16 {
    let bytes = key.as_bytes();
    // Byte by byte: a search over several bytes at once needs longer to start than most tags are long.
    let tagged = bytes.strip_prefix(b"{").and_then(|rest| {
        let end = rest.iter().position(|&byte| byte == b'}')?;
        rest.get(..end)
    });
    let tagged = tagged.filter(|_| !planted!(SlotOfWholeKey));
    CRC.checksum(tagged.unwrap_or(bytes)) % SLOTS
}

/// The slot of the key that `write` appends.
pub(super) fn of_key_from(write: impl FnOnce(&mut String)) -> u16 {
    thread_local! {
        static KEY: RefCell<String> = const { RefCell::new(String::new()) };
    }
    KEY.with_borrow_mut(|key| {
        key.clear();
        write(key);
        of(key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "Redis cluster specification", "Appendix A": the checksum of this text is 0x31C3.
    #[test]
    fn a_slot_is_the_checksum_of_the_hash_tag() {
        assert_eq!(of("123456789"), 0x31C3 % SLOTS);
        for key in ["{123456789}", "{123456789}:a", "{123456789}{b}"] {
            assert_eq!(of(key), of("123456789"), "{key}");
        }
        let written = of_key_from(|key| key.push_str("{123456789}"));
        assert_eq!(written, of("123456789"));
        // A brace that nothing closes begins no tag.
        assert_eq!(of("{123456789"), CRC.checksum(b"{123456789") % SLOTS);
    }
}
