//! The flags of `towline load --mode fanout`.

use towline_load::{Fanout, FanoutPace, FanoutProtocol, LoadError};

use crate::flag_value;

/// Who publishes what to whom. Without `--mode fanout` none may be given.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Fan-out")]
pub(crate) struct FanoutFlags {
    /// Protocol of the server: lines, resp (Redis) or nats [default: lines]
    #[arg(long, value_name = "PROTOCOL", value_parser = FanoutProtocol::parse)]
    protocol: Option<FanoutProtocol>,
    /// Connections that publish, beside the subscribers of --connections [default: 1]
    #[arg(long, value_name = "N", value_parser = flag_value::count_u32)]
    publishers: Option<u32>,
    /// Subscribers that read nothing once they have subscribed [default: 0]
    #[arg(long, value_name = "N", value_parser = flag_value::count_u32)]
    stuck: Option<u32>,
    /// Topic of all messages [default: towline]
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Bytes of a message [default: 100]
    #[arg(long, value_name = "BYTES", value_parser = flag_value::count_u32)]
    message_bytes: Option<u32>,
    /// Lines: what every connection sends first, with {conn} and {topic} [default: NICK u{conn}\\n]
    #[arg(long, value_name = "TEXT")]
    login: Option<String>,
    /// Lines: what a subscriber sends next [default: nothing]
    #[arg(long, value_name = "TEXT")]
    subscribe: Option<String>,
    /// Lines: how a message is published [default: SAY {message}\\n]
    #[arg(long, value_name = "TEXT")]
    publish: Option<String>,
    /// Lines: how the reply to each line of --login and --subscribe begins [default: OK]
    #[arg(long, value_name = "TEXT")]
    confirm: Option<String>,
}

impl FanoutFlags {
    /// The plan of a fan-out.
    pub(super) fn plan(&self) -> Result<Fanout, LoadError> {
        let mut plan = Fanout::default();
        plan.protocol = self.protocol.unwrap_or(plan.protocol);
        plan.publishers = self.publishers.unwrap_or(plan.publishers);
        plan.stuck = self.stuck.unwrap_or(plan.stuck);
        plan.message_bytes = self.message_bytes.unwrap_or(plan.message_bytes);
        if let Some(topic) = &self.topic {
            plan.topic.clone_from(topic);
        }
        let texts = [
            ("--login", &self.login, &mut plan.login),
            ("--subscribe", &self.subscribe, &mut plan.subscribe),
            ("--publish", &self.publish, &mut plan.publish),
            ("--confirm", &self.confirm, &mut plan.confirm),
        ];
        for (flag, text, into) in texts {
            let Some(text) = text else { continue };
            if plan.protocol != FanoutProtocol::Lines {
                return Err(LoadError::usage(format!(
                    "{flag} is for --protocol lines: {} has commands of its own",
                    plan.protocol.name()
                )));
            }
            into.clone_from(text);
        }
        Ok(plan)
    }

    /// Refuses the flags without a fan-out.
    pub(super) fn check_absent(&self) -> Result<(), LoadError> {
        let given = [
            ("--protocol", self.protocol.is_some()),
            ("--publishers", self.publishers.is_some()),
            ("--stuck", self.stuck.is_some()),
            ("--topic", self.topic.is_some()),
            ("--message-bytes", self.message_bytes.is_some()),
            ("--login", self.login.is_some()),
            ("--subscribe", self.subscribe.is_some()),
            ("--publish", self.publish.is_some()),
            ("--confirm", self.confirm.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(LoadError::usage(format!(
                "{flag} is about publishers and subscribers: expected it with --mode fanout only"
            ))),
            None => Ok(()),
        }
    }
}

/// How fast messages are published.
pub(super) fn pace(rate: Option<f64>, window: Option<u32>) -> Result<FanoutPace, LoadError> {
    match (rate, window) {
        (Some(rate), None) => Ok(FanoutPace::Rate(rate)),
        (None, Some(window)) => Ok(FanoutPace::Window(window)),
        (Some(_), Some(_)) => Err(LoadError::usage(
            "--rate and --window both pace the messages of a fan-out: expected one of them",
        )),
        (None, None) => Err(LoadError::usage(
            "--mode fanout has no rate: expected --rate MESSAGES_PER_SECOND or --window MESSAGES",
        )),
    }
}
