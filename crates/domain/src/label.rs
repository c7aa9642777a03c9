//! Enums whose variants have a label: the one text of JSON, the database, metrics and the command line.

/// The text is no label of the enum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}; known: {known}")]
pub struct UnknownLabel {
    /// The text.
    pub text: String,
    /// What the enum stands for, like `role`.
    pub what: &'static str,
    /// All labels, separated by commas.
    pub known: String,
}

/// Declares an enum from a table of variants and labels, with `ALL`, `label`, `from_label`, `Display`,
/// `FromStr` (case is ignored, and an unknown label is refused with the list) and serde by label.
///
/// ```
/// domain::label_enum! {
///     /// How a job came in.
///     pub enum Lane: "lane" {
///         /// By the thousand.
///         Bulk = "bulk",
///         /// One at a time, for a person who waits.
///         Interactive = "interactive",
///     }
/// }
/// assert_eq!(Lane::Bulk.label(), "bulk");
/// assert_eq!("Interactive".parse(), Ok(Lane::Interactive));
/// assert_eq!("slow".parse::<Lane>().unwrap_err().to_string(), "`slow` is not a lane; known: bulk, interactive");
/// ```
#[macro_export]
macro_rules! label_enum {
    (
        $( #[$meta:meta] )*
        $vis:vis enum $name:ident: $what:literal { $( $( #[$variant_meta:meta] )* $variant:ident = $label:literal, )+ }
    ) => {
        $( #[$meta] )*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        $vis enum $name { $( $( #[$variant_meta] )* #[serde(rename = $label)] $variant, )+ }

        impl $name {
            /// How many there are.
            $vis const COUNT: usize = [$( $label, )+].len();

            /// All of them, in the order of declaration.
            $vis const ALL: [Self; Self::COUNT] = [$( Self::$variant, )+];

            /// The text in JSON, the database, metrics and the command line.
            $vis fn label(self) -> &'static str {
                match self { $( Self::$variant => $label, )+ }
            }

            /// The variant with exactly this label.
            $vis fn from_label(label: &str) -> Option<Self> {
                match label { $( $label => Some(Self::$variant), )+ _ => None }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.label())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::UnknownLabel;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::from_label(&text.to_lowercase()).ok_or_else(|| $crate::UnknownLabel {
                    text: text.to_owned(),
                    what: $what,
                    known: Self::ALL.map(Self::label).join(", "),
                })
            }
        }
    };
}
