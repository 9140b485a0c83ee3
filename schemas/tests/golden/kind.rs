use callboard::message::codec;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::fmt::Debug;

/// Decodes bytes and holds them against the sample of this number.
type Decode = dyn Fn(usize, &[u8]) -> Result<(), String> + Send + Sync;

/// One message type with its samples, its Rust type forgotten.
pub(crate) struct Kind {
    /// The type's name, without its module.
    pub(crate) name: String,
    /// The JSON Schema that the type generates.
    pub(crate) schema: Value,
    /// Each sample in MessagePack.
    pub(crate) encoded: Vec<Vec<u8>>,
    /// Each sample in JSON, for people who read the golden files.
    pub(crate) readable: Vec<String>,
    decode: Box<Decode>,
}

impl Kind {
    pub(crate) fn of<T>(samples: impl IntoIterator<Item = T>) -> Self
    where
        T: Serialize + DeserializeOwned + JsonSchema + PartialEq + Debug + Send + Sync + 'static,
    {
        let samples: Vec<T> = samples.into_iter().collect();
        let encode = |sample: &T| codec::encode(sample).expect("a sample encodes").to_vec();
        let json = |sample: &T| serde_json::to_string(sample).expect("a sample is JSON too");
        Self {
            name: T::schema_name().into_owned(),
            schema: schemars::schema_for!(T).to_value(),
            encoded: samples.iter().map(encode).collect(),
            readable: samples.iter().map(json).collect(),
            decode: Box::new(move |at, bytes| {
                let decoded: T = codec::decode(bytes).map_err(|error| error.to_string())?;
                match samples.get(at) {
                    Some(sample) if *sample == decoded => Ok(()),
                    Some(sample) => Err(format!("read {decoded:?} instead of {sample:?}")),
                    None => Err("its sample is gone".to_owned()),
                }
            }),
        }
    }

    /// Returns which golden bytes do not decode to their sample, and why.
    pub(crate) fn misread(&self, golden: &[Vec<u8>]) -> Vec<(usize, String)> {
        let read = |(at, bytes): (usize, &Vec<u8>)| Some((at, (self.decode)(at, bytes).err()?));
        golden.iter().enumerate().filter_map(read).collect()
    }
}
