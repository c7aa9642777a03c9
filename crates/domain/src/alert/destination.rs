//! Where messages go.

use super::{Rule, Severity};

/// Name of the destination that always is there: the broker's alerts exchange.
pub const AMQP: &str = "amqp";

/// What kind of webhook it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// JSON for programs, signed.
    Webhook,
    /// Slack's incoming webhook.
    Slack,
    /// DingTalk's custom robot.
    DingTalk,
    /// WeCom's group robot.
    WeCom,
    /// Feishu's custom bot; Lark's too.
    Feishu,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Webhook, Self::Slack, Self::DingTalk, Self::WeCom, Self::Feishu];

    /// Lower-case name, as in the rules' file.
    pub fn label(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::DingTalk => "dingtalk",
            Self::WeCom => "wecom",
            Self::Feishu => "feishu",
        }
    }

    /// Whether it can check a signature.
    pub fn signs(self) -> bool {
        matches!(self, Self::Webhook | Self::DingTalk | Self::Feishu)
    }

    /// Messages a minute, a tenth below what the service allows: others may use the same robot.
    pub fn per_minute(self) -> u32 {
        match self {
            Self::Webhook => 600,
            Self::Slack => 50,
            Self::DingTalk | Self::WeCom => 18,
            Self::Feishu => 90,
        }
    }

    /// Messages a second.
    pub fn per_second(self) -> u32 {
        match self {
            Self::Webhook => 20,
            Self::Slack => 1,
            Self::DingTalk | Self::WeCom | Self::Feishu => 4,
        }
    }
}

/// The language of messages for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// 中文
    Chinese,
    /// English
    English,
    /// Both, Chinese first.
    Both,
}

/// A webhook of `config/alerts.toml`. Address and secret stay in the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Unique.
    pub name: String,
    /// What kind it is.
    pub service: Service,
    /// Environment variable that holds the URL.
    pub url_env: String,
    /// Environment variable that holds the secret that messages are signed with.
    pub secret_env: Option<String>,
    /// Language of its messages.
    pub language: Language,
    /// Less severe alerts are not sent there.
    pub min_severity: Severity,
    /// Most messages in any sixty seconds.
    pub per_minute: u32,
    /// Most messages in any second.
    pub per_second: u32,
}

impl Destination {
    /// Whether alerts of this rule go there.
    pub fn takes(&self, rule: &Rule) -> bool {
        rule.severity >= self.min_severity && rule.notify.as_ref().is_none_or(|names| names.contains(&self.name))
    }
}
