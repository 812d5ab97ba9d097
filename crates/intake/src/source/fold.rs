//! Objects whose field names may come in any case, as OneTrust mixes them.

/// Declares a structure that is read of an object: a name in lower case for each field, whatever case the body
/// has it in. What has no field here is skipped unread; null is as good as missing. A field that stands there
/// twice is refused: of `DENIED` and `GRANTED` nobody can tell which is meant.
macro_rules! folded {
    ($(#[$note:meta])* struct $name:ident { $($(#[$about:meta])* $field:ident $key:literal: $type:ty,)+ }) => {
        $(#[$note])*
        #[derive(Default)]
        #[allow(clippy::struct_field_names)] // as the source names them
        struct $name { $($(#[$about])* $field: Option<$type>,)+ }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields;

                impl<'de> serde::de::Visitor<'de> for Fields {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut entries: A,
                    ) -> Result<$name, A::Error> {
                        let mut found = $name::default();
                        while let Some(key) = entries.next_key::<String>()? {
                            match key.to_ascii_lowercase().as_str() {
                                $($key => {
                                    if found.$field.is_some() {
                                        let twice = format!("duplicate field `{key}`");
                                        return Err(serde::de::Error::custom(twice));
                                    }
                                    found.$field = entries.next_value()?;
                                })+
                                _ => {
                                    entries.next_value::<serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(found)
                    }
                }

                deserializer.deserialize_map(Fields)
            }
        }
    };
}

pub(super) use folded;
