//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// The line of conditions while it is written.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Input(Option<String>);

/// Most characters of a line of conditions.
const INPUT_MAX: usize = 500;

/// What a key asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing but a new screen.
    Redraw,
    End,
    /// The next order, or the one before.
    Sort(isize),
    Conditions(String),
    ToggleClosed,
    TogglePause,
    /// Rows down; negative is up.
    Move(isize),
    /// Look twice as often, or half as often.
    Faster,
    Slower,
}

impl Input {
    /// What is shown in the last line while conditions are written.
    pub(super) fn line(&self) -> Option<String> {
        self.0.as_ref().map(|text| format!("conditions: {text}_"))
    }

    /// What a key asks for. `conditions` are those in force.
    pub(super) fn key(&mut self, key: KeyEvent, conditions: &str) -> Action {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Action::End;
        }
        if let Some(text) = &mut self.0 {
            return match key.code {
                KeyCode::Enter => Action::Conditions(self.0.take().unwrap_or_default()),
                KeyCode::Esc => {
                    self.0 = None;
                    Action::Redraw
                }
                KeyCode::Backspace => {
                    text.pop();
                    Action::Redraw
                }
                KeyCode::Char(c) if text.len() < INPUT_MAX && !c.is_control() => {
                    text.push(c);
                    Action::Redraw
                }
                _ => Action::Redraw,
            };
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => Action::End,
            KeyCode::Char('>') | KeyCode::Right => Action::Sort(1),
            KeyCode::Char('<') | KeyCode::Left => Action::Sort(-1),
            KeyCode::Char('/') => {
                self.0 = Some(conditions.to_owned());
                Action::Redraw
            }
            KeyCode::Char('c') => Action::ToggleClosed,
            KeyCode::Char('p') => Action::TogglePause,
            KeyCode::Char('+') => Action::Faster,
            KeyCode::Char('-') => Action::Slower,
            KeyCode::Down | KeyCode::Char('j') => Action::Move(1),
            KeyCode::Up | KeyCode::Char('k') => Action::Move(-1),
            KeyCode::PageDown => Action::Move(20),
            KeyCode::PageUp => Action::Move(-20),
            KeyCode::Home => Action::Move(isize::MIN),
            KeyCode::End => Action::Move(isize::MAX),
            _ => Action::Redraw,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(input: &mut Input, code: KeyCode) -> Action {
        input.key(KeyEvent::new(code, KeyModifiers::NONE), "age>1h")
    }

    #[test]
    fn keys_are_commands_unless_conditions_are_written() {
        let mut input = Input::default();
        assert_eq!(press(&mut input, KeyCode::Char('>')), Action::Sort(1));
        assert_eq!(press(&mut input, KeyCode::Char('/')), Action::Redraw);
        for code in [KeyCode::Char('q'), KeyCode::Backspace, KeyCode::Char('>')] {
            assert_eq!(press(&mut input, code), Action::Redraw);
        }
        assert_eq!(input.line().as_deref(), Some("conditions: age>1h>_"));
        assert_eq!(press(&mut input, KeyCode::Enter), Action::Conditions("age>1h>".to_owned()));
        assert_eq!(input.line(), None);
        press(&mut input, KeyCode::Char('/'));
        assert_eq!(press(&mut input, KeyCode::Esc), Action::Redraw, "it ends the input alone");
        assert_eq!(press(&mut input, KeyCode::Char('q')), Action::End);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(input.key(interrupt, ""), Action::End);
    }
}
