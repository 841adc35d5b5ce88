//! How events are stored in a file: protocol-buffer messages in TFRecord frames. TensorBoard reads
//! few fields, so they are written by hand and this crate needs no protocol-buffer compiler.

/// CRC-32C (Castagnoli), the checksum of TFRecord; RFC 3720 names it for iSCSI.
const CRC_32C: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// One protocol-buffer message, built field by field in the order of their numbers.
///
/// As in proto3, a plain field of value 0 is left out; members of a `oneof` and sub-messages never
/// are.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// The encoded message.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A whole number: `int32`, `int64` or an enumeration.
    pub(super) fn integer(mut self, field: u8, value: u64) -> Self {
        if value != 0 {
            self.key(field, WireType::Varint);
            self.varint(value);
        }
        self
    }

    /// A `double`. Only +0 is left out: −0 and NaN are values of their own.
    pub(super) fn double(mut self, field: u8, value: f64) -> Self {
        if value.to_bits() != 0 {
            self.key(field, WireType::Fixed64);
            self.0.extend(value.to_le_bytes());
        }
        self
    }

    /// A `float` that is a member of a `oneof`, so that 0 is written, too.
    pub(super) fn chosen_float(mut self, field: u8, value: f32) -> Self {
        self.key(field, WireType::Fixed32);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// `string`, `bytes` or a sub-message: its length, then its bytes.
    pub(super) fn block(mut self, field: u8, block: &[u8]) -> Self {
        self.key(field, WireType::Block);
        self.varint(block.len() as u64);
        self.0.extend(block);
        self
    }

    /// `repeated double`, packed; nothing when there are none.
    pub(super) fn doubles(self, field: u8, values: &[f64]) -> Self {
        if values.is_empty() {
            return self;
        }
        let packed: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.block(field, &packed)
    }

    /// Field number and wire type in one byte, which is enough for numbers up to 15.
    fn key(&mut self, field: u8, wire_type: WireType) {
        self.0.push((field << 3) | wire_type as u8);
    }

    /// Base 128, the lowest seven bits first; the top bit says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// How a reader finds the end of a field that it does not know.
enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Block = 2,
    Fixed32 = 5,
}

/// The TFRecord frame of `data`: its length (8 bytes, little-endian), the length's checksum, the
/// data, the data's checksum.
pub(super) fn frame(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(data.len() + 16);
    record.extend(length);
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(data);
    record.extend(masked_crc(data).to_le_bytes());
    record
}

/// CRC-32C, rotated and shifted by a constant. A plain checksum of data with their own checksum
/// inside would be useless (TensorFlow, `lib/hash/crc32c.h`).
pub(super) fn masked_crc(data: &[u8]) -> u32 {
    CRC_32C.checksum(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, appendix B.4.
    #[test]
    fn checksums_are_those_of_rfc_3720() {
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        let read_command = [
            0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0, 0,
            0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(CRC_32C.checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(CRC_32C.checksum(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(CRC_32C.checksum(&ascending), 0x46dd_794e);
        assert_eq!(CRC_32C.checksum(&descending), 0x113f_db5c);
        assert_eq!(CRC_32C.checksum(&read_command), 0xd996_3a56);
    }

    #[test]
    fn numbers_take_as_many_bytes_as_they_need() {
        assert!(Message::default().integer(1, 0).bytes().is_empty());
        assert_eq!(Message::default().integer(1, 127).bytes(), [0x08, 0x7f]);
        assert_eq!(Message::default().integer(2, 300).bytes(), [0x10, 0xac, 0x02]);
        assert_eq!(Message::default().integer(1, u64::MAX).bytes().len(), 11);
        assert!(Message::default().double(1, 0.0).bytes().is_empty());
        assert_eq!(Message::default().double(1, -0.0).bytes().len(), 9);
    }
}
