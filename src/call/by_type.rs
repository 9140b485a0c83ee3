use dashmap::DashMap;
use std::{
    any::TypeId,
    hash::{BuildHasherDefault, Hasher},
};

/// A table by Rust type, for what every message looks up.
pub(super) type ByType<T> = DashMap<TypeId, T, BuildHasherDefault<AsItIs>>;

/// Takes the id of a type for its hash, which it is already.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 ^= hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_under_a_type_is_found_under_that_type_only() {
        let table = ByType::default();
        table.insert(TypeId::of::<u8>(), 8);
        table.insert(TypeId::of::<u16>(), 16);
        let found = |id| table.get(&id).map(|found| *found);
        assert_eq!(found(TypeId::of::<u8>()), Some(8));
        assert_eq!(found(TypeId::of::<u16>()), Some(16));
        assert_eq!(found(TypeId::of::<u32>()), None);
    }
}
