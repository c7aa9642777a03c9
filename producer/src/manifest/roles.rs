//! Columns that were meant to give roles of channels, but are not spelled like it. As attributes they would be without
//! effect, and the wrong person be scored; so they are refused with a suggestion.

use domain::Role;
use strsim::damerau_levenshtein;

use super::names::letters;

/// Words for a channel, besides what is close to `channel` itself.
const CHANNEL: [&str; 22] = [
    "ch",
    "chan",
    "chn",
    "chnl",
    "chl",
    "channels",
    "声道",
    "聲道",
    "通道",
    "音轨",
    "音軌",
    "频道",
    "声道号",
    "kanal",
    "kanaal",
    "canal",
    "canale",
    "voie",
    "канал",
    "チャンネル",
    "チャネル",
    "채널",
];

/// Words that stand for a channel beside a role, or beside a number where the value is a role.
const PLACE: [&str; 13] =
    ["track", "trk", "side", "leg", "stream", "spk", "spur", "piste", "pista", "role", "speaker", "is", "on"];

/// Words for a role, with the role.
const ROLES: [(&str, Role); 32] = [
    ("customer", Role::Customer),
    ("costumer", Role::Customer),
    ("client", Role::Customer),
    ("caller", Role::Customer),
    ("kunde", Role::Customer),
    ("kundin", Role::Customer),
    ("cliente", Role::Customer),
    ("客户", Role::Customer),
    ("客戶", Role::Customer),
    ("顾客", Role::Customer),
    ("顧客", Role::Customer),
    ("用户", Role::Customer),
    ("клиент", Role::Customer),
    ("agent", Role::Agent),
    ("agnet", Role::Agent),
    ("operator", Role::Agent),
    ("employee", Role::Agent),
    ("mitarbeiter", Role::Agent),
    ("agente", Role::Agent),
    ("坐席", Role::Agent),
    ("座席", Role::Agent),
    ("客服", Role::Agent),
    ("员工", Role::Agent),
    ("оператор", Role::Agent),
    ("agents", Role::Agent),
    ("customers", Role::Customer),
    ("speaker", Role::Speaker),
    ("speakers", Role::Speaker),
    ("mixed", Role::Mixed),
    ("mix", Role::Mixed),
    ("混音", Role::Mixed),
    ("mono mix", Role::Mixed),
];

/// Why a column of this name can only have been meant to give the role of a channel; `None` for other names.
pub(super) fn misspelt_column(name: &str) -> Option<String> {
    let (word, number) = word_and_number(name)?;
    let near = word.is_ascii() && word.len() >= 5 && damerau_levenshtein(&word, "channel") <= 2;
    (near || CHANNEL.contains(&word.as_str())).then(|| {
        format!(
            "column `{name}` is not known: is it `channel_{number}`? If it is an attribute, say --attribute \"{name}\""
        )
    })
}

/// Why an attribute of this name and value can only have been meant to give the roles of channels; `None` otherwise.
pub(super) fn misplaced_role(name: &str, value: &str) -> Option<String> {
    let escape = format!("If it is an attribute, say --attribute \"{name}\"");
    let said = format!("`{name}` has the value `{value}`");
    if is_layout(value) {
        return Some(format!(
            "{said}, but each channel's role is a column of its own: `channel_0`, `channel_1`, ... {escape}"
        ));
    }
    let word = letters(name);
    let names_channels = word == "channel" || CHANNEL.contains(&word.as_str());
    match role(value) {
        Some(Role::Mixed) if names_channels || word.contains("channel") || word.contains("layout") => {
            return Some(format!("{said}: recordings are mixed by `--channels mix`, for all of a command. {escape}"));
        }
        Some(Role::Mixed) | None => {}
        // The words of the program itself, in any column; those of other languages only where a channel is named.
        Some(_) if Role::of_channel(&letters(value)).is_ok() || names_a_place(&word) => {
            return Some(format!(
                "column `{name}` has the role `{value}`, but names no channel: write `channel_0`, `channel_1`, ... {escape}"
            ));
        }
        Some(_) => {}
    }
    let (of_role, is_channel) = role_of_place(&word)?;
    let number = letters(value).parse::<u16>().ok().filter(|number| *number < 64);
    (is_channel || is_side(value) || number.is_some()).then_some(())?;
    let example = number.map_or("channel_0".to_owned(), |number| format!("channel_{number}"));
    Some(format!(
        "{said}: the roles are given per channel, as a column `{example}` with the value `{of_role}`. {escape}"
    ))
}

/// `0=agent,1=customer` or `agent|customer`, with whatever between the parts.
fn is_layout(value: &str) -> bool {
    let parts = value.split([',', ';', '|', ' ', '/', '+', '&']).filter(|part| !part.is_empty());
    let parts = parts.map(|part| part.trim_matches(['{', '}', '[', ']', '"', '\'']));
    let roles: Vec<_> = parts.clone().map(role).collect();
    let are_roles = roles.len() > 1 && roles.iter().all(Option::is_some);
    if are_roles && [Role::Agent, Role::Customer].iter().all(|wanted| roles.contains(&Some(*wanted))) {
        return true;
    }
    let mut pairs = parts.map(|part| part.split_once(['=', ':', '-']));
    let of_channel = |(channel, is): (&str, &str)| {
        let numbered =
            |text: &str| word_and_number(text).is_some() || letters(text).parse::<u16>().is_ok() || is_side(text);
        role(is).is_some() && numbered(channel) || role(channel).is_some() && numbered(is)
    };
    pairs.next().flatten().is_some_and(of_channel) && pairs.all(|pair| pair.is_some_and(of_channel))
}

fn is_side(text: &str) -> bool {
    matches!(letters(text).as_str(), "left" | "right" | "l" | "r" | "左" | "右")
}

fn role(value: &str) -> Option<Role> {
    let letters = letters(value);
    ROLES.iter().find(|(word, _)| *word == letters).map(|(_, role)| *role)
}

/// Whether a name, like `track_0`, `left` or `1`, stands for one of several channels.
fn names_a_place(word: &str) -> bool {
    let bare = word.trim_end_matches(|c: char| c.is_numeric());
    bare.is_empty()
        || word.contains("channel")
        || matches!(bare, "left" | "right" | "links" | "rechts" | "左" | "右" | "左声道" | "右声道" | "l" | "r")
        || bare.len() < word.len() && (PLACE.contains(&bare) || CHANNEL.contains(&bare))
}

/// The role that a name gives a place to, like `agent_channel` or `track_agent`, and whether the place is a channel.
fn role_of_place(word: &str) -> Option<(Role, bool)> {
    let is_channel = |rest: &str| {
        let near = rest.is_ascii() && rest.len() >= 5 && damerau_levenshtein(rest, "channel") <= 2;
        near || CHANNEL.contains(&rest)
    };
    ROLES.iter().filter(|(_, role)| *role != Role::Mixed).find_map(|(name, role)| {
        let rest = word.strip_prefix(name).or_else(|| word.strip_suffix(name))?;
        (is_channel(rest) || PLACE.contains(&rest)).then(|| (*role, is_channel(rest)))
    })
}

/// A name of letters and then one number, like `chanel_0`.
fn word_and_number(name: &str) -> Option<(String, u16)> {
    let letters = letters(name);
    let word = letters.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = letters[word.len()..].parse().ok()?;
    (!word.is_empty()).then(|| (word.to_owned(), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_can_only_mean_a_channel_are_refused_whatever_their_value() {
        for name in [
            "chanel_0",
            "channnel_0",
            "chanell0",
            "chnnel-0",
            "cahnnel 0",
            "ch_0",
            "CH0",
            "chan0",
            "声道0",
            "通道0",
            "聲道 0",
            "Kanal 0",
            "canal_0",
            "канал 0",
            "ch\u{200b}_0",
            "ｃｈ０",
        ] {
            let refused = misspelt_column(name).unwrap_or_else(|| panic!("{name} is taken"));
            assert!(refused.contains("`channel_0`") && refused.contains("--attribute"), "{refused}");
        }
        for name in ["channel_type", "chapter", "ch", "cancel", "track_1", "line_1", "score_2", "change1x", "q1"] {
            assert_eq!(misspelt_column(name), None, "{name}");
        }
    }

    #[test]
    fn roles_in_columns_that_name_no_channel_are_refused() {
        for (name, value) in [
            ("left", "agent"),
            ("right", " Customer"),
            ("role_0", "agent"),
            ("track_0", "agent\u{200b}"),
            ("speaker_1", "customer"),
            ("Sprecher", "Agent"),
            ("0", "agent"),
            ("left", "客服"),
            ("track_1", "Kunde"),
            ("1", "客户"),
            ("channels", "0=agent,1=customer"),
            ("roles", "0:agent; 1:customer"),
            ("x", "agent=0,customer=1"),
            ("layout", "ch0=agent ch1=customer"),
            ("channels", "agent|customer"),
            ("order", "Agent, Customer"),
            ("音轨", "坐席/客户"),
            ("stereo", "agent-left"),
            ("stereo", "left=agent right=customer"),
            ("layout", "[\"agent\",\"customer\"]"),
            ("channels", "mix"),
            ("channel", "Mixed"),
            ("agent_channel", "0"),
            ("customer_channel", "1"),
            ("channel_agent", "left"),
            ("agentTrack", "0"),
            ("客服声道", "0"),
            ("customer chanel", "1"),
        ] {
            let refused = misplaced_role(name, value).unwrap_or_else(|| panic!("{name} = {value} is taken"));
            assert!(refused.contains("--attribute"), "{refused}");
        }
        for (name, value) in [
            ("channel", "phone"),
            ("channels", "2"),
            ("mode", "mix"),
            ("产品", "客户"),
            ("segment", "Kunde"),
            ("agent_rating", "5"),
            ("customer_id", "7"),
            ("agent_id", "1"),
            ("agent_line", "7"),
            ("agent_side", "sales"),
            ("track_1", "Blue"),
            ("ratio", "1=2"),
            ("note", "agent: late"),
            ("topic", "agent-based"),
            ("served", "customer, speaker"),
        ] {
            assert_eq!(misplaced_role(name, value), None, "{name} = {value}");
        }
    }
}
