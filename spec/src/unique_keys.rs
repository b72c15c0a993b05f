//! JSON objects in which no key is given twice, where `serde_json` would silently keep the last.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

/// A JSON object without a repeated key, at whatever depth.
pub(crate) struct UniqueKeys(pub(crate) Map<String, Json>);

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = UniqueKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a step: an object with the field `op`")
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<UniqueKeys, A::Error> {
                object(access).map(UniqueKeys)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Any JSON value in whose objects no key is repeated.
struct Unique(Json);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E>(self) -> Result<Unique, E> {
                Ok(Unique(Json::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }

            fn visit_string<E>(self, value: String) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Unique, A::Error> {
                let mut items = Vec::new();
                while let Some(Unique(item)) = access.next_element()? {
                    items.push(item);
                }
                Ok(Unique(Json::Array(items)))
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Unique, A::Error> {
                Ok(Unique(Json::Object(object(access)?)))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

fn object<'de, A: MapAccess<'de>>(mut access: A) -> Result<Map<String, Json>, A::Error> {
    let mut map = Map::new();
    while let Some(key) = access.next_key::<String>()? {
        if map.contains_key(&key) {
            return Err(A::Error::custom(format!("the field `{key}` is given twice; keep one")));
        }
        let Unique(value) = access.next_value()?;
        map.insert(key, value);
    }
    Ok(map)
}
