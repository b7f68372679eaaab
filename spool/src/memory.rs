//! A database in memory: what is left of a generation's files when there is no room to put it together on disk.

use std::collections::BTreeMap;

use parking_lot::RwLock;

use crate::{
    SpoolError,
    disk::{Change, Database, Flow},
};

#[derive(Debug, Default)]
pub(crate) struct Memory {
    pairs: RwLock<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Database for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, SpoolError> {
        Ok(self.pairs.read().get(key).cloned())
    }

    fn scan(&self, from: &[u8], end: &[u8], each: &mut dyn FnMut(&[u8], &[u8]) -> Flow) -> Result<(), SpoolError> {
        let pairs = self.pairs.read();
        let from = pairs.range(from.to_vec()..);
        for (key, value) in from.take_while(|(key, _)| key.as_slice() < end) {
            if each(key, value) == Flow::Stop {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), SpoolError> {
        let mut pairs = self.pairs.write();
        for (key, value) in changes {
            match value {
                Some(value) => pairs.insert(key, value),
                None => pairs.remove(&key),
            };
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), SpoolError> {
        Ok(())
    }

    fn bytes_on_disk(&self) -> u64 {
        0
    }
}
