//! Who speaks on which channel, and whether that channel may be scored.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use crate::{Failure, FailureCode};

crate::label_enum! {
    /// Who speaks on a channel.
    pub enum Role: "role" {
        /// The person who calls or is called: the one whose emotion is asked for.
        Customer = "customer",
        /// The employee. Scored only where the operator turned that on (EU AI Act, Art. 5(1)(f)).
        Agent = "agent",
        /// A person whose role the job does not give.
        Speaker = "speaker",
        /// All channels mixed into one, because the job asked for it.
        Mixed = "mixed",
    }
}

impl Role {
    /// The role of one channel, as typed by a user: any but [`Role::Mixed`], which is no single channel's.
    ///
    /// # Errors
    /// With the roles that a channel can have.
    pub fn of_channel(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(role) if role != Self::Mixed => Ok(role),
            _ => Err(format!("`{text}` is not the role of a channel; known: customer, agent, speaker")),
        }
    }
}

/// How a recording's channels are read. JSON: `"mix"` or `{"0":"agent","1":"customer"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelLayout {
    /// Average all channels into one. Never a default.
    Mix,
    /// Channel number (from 0) to role. Channels not named are [`Role::Speaker`].
    Roles(BTreeMap<u16, Role>),
}

/// One track of the analysis: a channel, or the mix of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// Channel number from 0; `None` for the mix of all.
    pub channel: Option<u16>,
    /// Who speaks.
    pub role: Role,
    /// False: left out of the analysis by the operator's policy.
    pub scored: bool,
}

/// Which tracks a recording of `channels` channels gives.
///
/// `layout` is the job's option, `two_channel` the operator's default roles for two-channel
/// recordings, `scored` the roles that may be scored.
///
/// # Errors
/// `channels.missing`: `layout` names a channel that the recording lacks. The other roles may be off by one as well, and
/// the wrong person be scored.
pub fn tracks(
    channels: u16,
    layout: Option<&ChannelLayout>,
    two_channel: [Role; 2],
    scored: &BTreeSet<Role>,
) -> Result<Vec<Track>, Failure> {
    let track = |channel, role| Track { channel, role, scored: scored.contains(&role) };
    if let Some(ChannelLayout::Roles(roles)) = layout
        && let Some((channel, role)) = roles.range(channels..).next()
    {
        let have = if channels == 1 {
            "1 channel: 0".to_owned()
        } else {
            format!("{channels} channels: 0 to {}", channels.saturating_sub(1))
        };
        let what = format!("channel {channel} has the role {role}, but the recording has {have}");
        return Err(Failure::new(FailureCode::ChannelsMissing, what));
    }
    Ok(match layout {
        Some(ChannelLayout::Mix) => vec![track(None, Role::Mixed)],
        Some(ChannelLayout::Roles(roles)) => {
            (0..channels).map(|c| track(Some(c), roles.get(&c).copied().unwrap_or(Role::Speaker))).collect()
        }
        None if channels == 2 => (0..2).map(|c| track(Some(c), two_channel[usize::from(c)])).collect(),
        None => (0..channels).map(|c| track(Some(c), Role::Speaker)).collect(),
    })
}

/// Refuses roles that were counted from 1: channels 1, 2, ... without channel 0.
///
/// # Errors
/// A sentence that names the last channel, and how many there would be.
pub fn counted_from_zero(roles: &BTreeMap<u16, Role>) -> Result<(), String> {
    let last = u16::try_from(roles.len()).unwrap_or(u16::MAX);
    if last < 2 || !roles.keys().copied().eq(1..=last) {
        return Ok(());
    }
    Err(format!(
        "roles for channels 1 to {last} and none for 0: channels are counted from 0, so channel {last} would be one of {}; \
         name channels 0 to {}, or channel 0 as well",
        u32::from(last) + 1,
        last - 1,
    ))
}

/// The command line's form: `mix`, or `0=agent,1=customer`.
impl std::str::FromStr for ChannelLayout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "channels are `mix`, or roles like `0=agent,1=customer`";
        if text == "mix" {
            return Ok(Self::Mix);
        }
        let mut roles = BTreeMap::new();
        for part in text.split(',') {
            let pair = part
                .split_once('=')
                .and_then(|(channel, role)| Some((channel.trim().parse().ok()?, Role::of_channel(role.trim()).ok()?)));
            let Some((channel, role)) = pair else { return Err(format!("`{part}` is not a channel role; {expected}")) };
            if roles.insert(channel, role).is_some() {
                return Err(format!("channel {channel} is named twice"));
            }
        }
        counted_from_zero(&roles)?;
        Ok(Self::Roles(roles))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum LayoutJson {
    Word(String),
    Roles(BTreeMap<String, Role>),
}

impl Serialize for ChannelLayout {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Mix => LayoutJson::Word("mix".into()),
            Self::Roles(roles) => LayoutJson::Roles(roles.iter().map(|(c, r)| (c.to_string(), *r)).collect()),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ChannelLayout {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let expected = r#""mix" or an object from channel number to role, like {"0":"agent","1":"customer"}"#;
        let json = LayoutJson::deserialize(deserializer)
            .map_err(|_| D::Error::custom(format!("channels must be {expected}")))?;
        match json {
            LayoutJson::Word(word) if word == "mix" => Ok(Self::Mix),
            LayoutJson::Word(word) => Err(D::Error::custom(format!("channels is `{word}`; it must be {expected}"))),
            LayoutJson::Roles(roles) => roles
                .into_iter()
                .map(|(channel, role)| match channel.parse() {
                    Ok(number) => Ok((number, role)),
                    Err(_) => Err(D::Error::custom(format!("`{channel}` is not a channel number"))),
                })
                .collect::<Result<_, _>>()
                .map(Self::Roles),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer_only() -> BTreeSet<Role> {
        BTreeSet::from([Role::Customer, Role::Speaker, Role::Mixed])
    }

    #[test]
    fn a_two_channel_call_leaves_the_agent_out_by_default() {
        let tracks = tracks(2, None, [Role::Agent, Role::Customer], &customer_only()).expect("no roles given");
        assert_eq!(tracks[0], Track { channel: Some(0), role: Role::Agent, scored: false });
        assert_eq!(tracks[1], Track { channel: Some(1), role: Role::Customer, scored: true });
    }

    #[test]
    fn a_mono_recording_is_one_speaker() {
        let tracks = tracks(1, None, [Role::Agent, Role::Customer], &customer_only()).expect("no roles given");
        assert_eq!(tracks, vec![Track { channel: Some(0), role: Role::Speaker, scored: true }]);
    }

    #[test]
    fn the_jobs_roles_override_the_default() {
        let layout: ChannelLayout = serde_json::from_str(r#"{"0":"customer","1":"agent"}"#).expect("valid");
        let tracks = tracks(2, Some(&layout), [Role::Agent, Role::Customer], &customer_only()).expect("both exist");
        assert!(tracks[0].scored && !tracks[1].scored);
    }

    #[test]
    fn roles_for_channels_that_the_recording_lacks_are_refused() {
        for (roles, channels, channel) in
            [(r#"{"1":"agent","2":"customer"}"#, 2, "channel 2"), (r#"{"0":"agent","1":"customer"}"#, 1, "channel 1")]
        {
            let layout: ChannelLayout = serde_json::from_str(roles).expect("valid");
            let failure = tracks(channels, Some(&layout), [Role::Agent, Role::Customer], &customer_only());
            let failure = failure.expect_err(roles);
            assert_eq!(failure.code, FailureCode::ChannelsMissing);
            assert!(
                failure.message.contains(channel) && failure.message.contains(&format!("{channels} channel")),
                "{failure}"
            );
        }
    }

    #[test]
    fn invalid_layouts_are_refused_with_the_expected_form() {
        for bad in [r#""stereo""#, r#"{"left":"agent"}"#, r#"{"0":"boss"}"#, "7"] {
            let error = serde_json::from_str::<ChannelLayout>(bad).expect_err("must be refused").to_string();
            assert!(error.contains("channel"), "{bad}: {error}");
        }
    }

    #[test]
    fn the_command_lines_form_is_parsed() {
        assert_eq!("mix".parse(), Ok(ChannelLayout::Mix));
        let roles = BTreeMap::from([(0, Role::Agent), (1, Role::Customer)]);
        assert_eq!("0=agent, 1=customer".parse(), Ok(ChannelLayout::Roles(roles)));
        for bad in ["", "stereo", "0=boss", "left=agent", "0=agent,0=customer", "0=mixed"] {
            assert!(bad.parse::<ChannelLayout>().is_err(), "{bad}");
        }
    }

    #[test]
    fn roles_counted_from_one_are_refused() {
        let error = "1=agent,2=customer".parse::<ChannelLayout>().expect_err("from 1");
        assert!(error.contains("counted from 0") && error.contains("channel 2 would be one of 3"), "{error}");
        for good in ["1=customer", "0=speaker,1=agent,2=customer", "2=agent,3=customer"] {
            assert!(good.parse::<ChannelLayout>().is_ok(), "{good}");
        }
    }

    #[test]
    fn json_round_trips() {
        for json in [r#""mix""#, r#"{"0":"agent","1":"customer"}"#] {
            let layout: ChannelLayout = serde_json::from_str(json).expect("valid");
            assert_eq!(serde_json::to_string(&layout).expect("serialises"), json);
        }
    }
}
