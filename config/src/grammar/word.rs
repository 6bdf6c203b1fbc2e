//! Words of a closed list, alone or as an alternative to another grammar.

use std::num::NonZeroU32;

use super::{Count, Grammar, Size};
use crate::{
    error::{ValueError, alternatives},
    settings::{FlushPolicy, Processes, ReceiveBuffer},
    value::Value,
};

/// One of a closed list of words. Of several words with the same value, the first is printed.
#[derive(Debug)]
pub(crate) struct Words<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T> Words<T> {
    fn words(&self) -> impl Iterator<Item = &'static str> + use<T> {
        self.0.iter().map(|(word, _)| *word)
    }
}

impl<T: PartialEq> Words<T> {
    fn word_of(&self, value: &T) -> &'static str {
        self.0.iter().find(|(_, known)| known == value).map_or("", |(word, _)| *word)
    }
}

impl<T: Copy + PartialEq + Sync> Grammar<T> for Words<T> {
    fn parse(&self, text: &str) -> Result<T, ValueError> {
        let known = self.0.iter().find(|(word, _)| *word == text);
        known.map(|(_, value)| *value).ok_or_else(|| unknown_word(text))
    }

    fn print(&self, value: &T) -> Value {
        match self.word_of(value) {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            word => Value::text(word),
        }
    }

    fn expected(&self) -> String {
        alternatives(self.words())
    }

    fn placeholder(&self) -> String {
        // Without the synonyms.
        let first = |(word, value): &&(&str, T)| self.word_of(value) == *word;
        let words: Vec<_> = self.0.iter().filter(first).map(|(word, _)| *word).collect();
        words.join("|")
    }
}

/// A word that means `None`, or what `inner` accepts.
#[derive(Debug)]
pub(crate) struct Or<G> {
    pub(crate) word: &'static str,
    pub(crate) inner: G,
}

impl<T, G: Grammar<T>> Grammar<Option<T>> for Or<G> {
    fn parse(&self, text: &str) -> Result<Option<T>, ValueError> {
        if text == self.word { Ok(None) } else { self.inner.parse(text).map(Some) }
    }

    fn print(&self, value: &Option<T>) -> Value {
        value.as_ref().map_or_else(|| Value::text(self.word), |value| self.inner.print(value))
    }

    fn expected(&self) -> String {
        format!("{}, or {}", self.inner.expected(), self.word)
    }

    fn placeholder(&self) -> String {
        format!("{}|{}", self.inner.placeholder(), self.word)
    }
}

/// `server.processes`.
#[derive(Debug)]
pub(crate) struct ProcessCount;

impl ProcessCount {
    const AS_OPTION: Or<Count> = Or { word: "auto", inner: Count { min: 1, max: 1024 } };
}

impl Grammar<Processes> for ProcessCount {
    fn parse(&self, text: &str) -> Result<Processes, ValueError> {
        Ok(Self::AS_OPTION.parse(text)?.map_or(Processes::Auto, Processes::Exactly))
    }

    fn print(&self, value: &Processes) -> Value {
        Self::AS_OPTION.print(&match value {
            Processes::Auto => None,
            Processes::Exactly(count) => Some(*count),
        })
    }

    fn expected(&self) -> String {
        <_ as Grammar<Option<NonZeroU32>>>::expected(&Self::AS_OPTION)
    }

    fn placeholder(&self) -> String {
        <_ as Grammar<Option<NonZeroU32>>>::placeholder(&Self::AS_OPTION)
    }
}

/// `socket.receive_buffer`, with the grammar of a size.
#[derive(Debug)]
pub(crate) struct ReceiveBuffers(pub(crate) Size);

impl Grammar<ReceiveBuffer> for ReceiveBuffers {
    fn parse(&self, text: &str) -> Result<ReceiveBuffer, ValueError> {
        match text {
            "auto" => Ok(ReceiveBuffer::Auto),
            "kernel" => Ok(ReceiveBuffer::Kernel),
            _ => self.0.parse(text).map(ReceiveBuffer::Bytes),
        }
    }

    fn print(&self, value: &ReceiveBuffer) -> Value {
        match value {
            ReceiveBuffer::Auto => Value::text("auto"),
            ReceiveBuffer::Kernel => Value::text("kernel"),
            ReceiveBuffer::Bytes(bytes) => self.0.print(bytes),
        }
    }

    fn expected(&self) -> String {
        format!("{}, auto or kernel", <Size as Grammar<u32>>::expected(&self.0))
    }

    fn placeholder(&self) -> String {
        format!("{}|auto|kernel", <Size as Grammar<u32>>::placeholder(&self.0))
    }
}

/// `flush.policy`.
#[derive(Debug)]
pub(crate) struct FlushPolicies;

impl FlushPolicies {
    const LINES: Count = Count { min: 1, max: 1_000_000 };
}

impl Grammar<FlushPolicy> for FlushPolicies {
    fn parse(&self, text: &str) -> Result<FlushPolicy, ValueError> {
        match text {
            "auto" => Ok(FlushPolicy::Auto),
            "line" => Ok(FlushPolicy::Line),
            _ => match text.strip_prefix("every:") {
                Some(lines) => Self::LINES.parse(lines).map(FlushPolicy::Every),
                None => Err(unknown_word(text)),
            },
        }
    }

    fn print(&self, value: &FlushPolicy) -> Value {
        Value::text(value.to_string())
    }

    fn expected(&self) -> String {
        format!("auto, line or every:N with N from 1 to {}", Self::LINES.max)
    }

    fn placeholder(&self) -> String {
        "auto|line|every:N".into()
    }
}

fn unknown_word(text: &str) -> ValueError {
    if text.is_empty() { ValueError::EMPTY } else { ValueError::new("is unknown") }
}
