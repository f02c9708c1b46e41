//! Enumerations that have a name in the public interface for each variant.

/// Defines an enumeration from one line a variant, `Variant = "name",`, and behind `=>` the method that returns the name.
/// A variant is its own index in `ALL`; that index is its number at the boundary to JavaScript.
macro_rules! named_enum {
    (
        $(#[$enum_meta:meta])*
        $visibility:vis enum $Enum:ident {
            $($(#[$variant_meta:meta])* $Variant:ident = $name:literal,)+
        }
        $(#[$method_meta:meta])*
        => $method:ident
    ) => {
        $(#[$enum_meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $visibility enum $Enum {
            $($(#[$variant_meta])* $Variant,)+
        }

        impl $Enum {
            /// Every variant, each at the index that is its number.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$Variant),+];

            $(#[$method_meta])*
            pub fn $method(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)+
                }
            }
        }
    };
}

pub(crate) use named_enum;
