//! Policies, of which a wrong decision lets somebody in: what is decided is what a reading of the patterns by
//! the definition gives. And any text as a policy's file.

use std::fmt::Write;
use std::ops::ControlFlow;

use arbitrary::{Arbitrary, Unstructured};
use botzilla::policy::{Policy, Request};

/// Short texts over few letters, so that patterns meet them.
#[derive(Debug, Clone, Copy, Arbitrary)]
struct Text {
    len: u8,
    letters: u32,
}

#[derive(Debug, Arbitrary)]
struct Rule {
    keys: Text,
    call: Text,
    publish: Text,
    subscribe: Text,
    register: Text,
    /// Which of the four it has.
    has: u8,
}

#[derive(Debug, Arbitrary)]
struct Question {
    key: Text,
    verb: u8,
    what: Text,
    message: Text,
}

/// What a pattern is made of, and what it is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Symbol {
    Byte(u8),
    /// A slash in a message's own name, which is no end of a segment.
    Inner,
    Any,
    All,
}

impl Text {
    fn of(self, alphabet: &[&str]) -> String {
        let letters = (0..u32::from(self.len % 9)).map(|at| self.letters >> (at * 3) & 7);
        letters
            .map(|which| alphabet[which as usize % alphabet.len()])
            .collect()
    }

    fn pattern(self) -> String {
        self.of(&["a", "b", "/", "*", "**", "a", "a/", "*"])
    }

    fn name(self) -> String {
        self.of(&["a", "b", "/", "a", "aa", "/a", "c", "b"])
    }

    /// A key id has no slash.
    fn key(self) -> String {
        self.of(&["a", "b", "c", "aa", "bb", "a", "b", "-"])
    }
}

fn symbols(pattern: &str) -> Vec<Symbol> {
    let mut symbols = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.bytes().next() {
        let (symbol, len) = match first {
            b'*' if rest.starts_with("**") => (Symbol::All, 2),
            b'*' => (Symbol::Any, 1),
            byte => (Symbol::Byte(byte), 1),
        };
        symbols.push(symbol);
        rest = &rest[len..];
    }
    symbols
}

/// By the definition, and as slow as that is.
fn means(pattern: &[Symbol], text: &[Symbol]) -> bool {
    let Some((first, rest)) = pattern.split_first() else {
        return text.is_empty();
    };
    match first {
        Symbol::All => (0..=text.len()).any(|at| means(rest, &text[at..])),
        Symbol::Any => {
            let is_within = |it: &&Symbol| matches!(it, Symbol::Byte(byte) if *byte != b'/');
            let within = text.iter().take_while(is_within).count();
            (0..=within).any(|at| means(rest, &text[at..]))
        }
        byte => text.first() == Some(byte) && means(rest, &text[1..]),
    }
}

fn plain(text: &str) -> Vec<Symbol> {
    text.bytes().map(Symbol::Byte).collect()
}

impl Rule {
    /// Its patterns, in the order of the verbs; none where it says nothing.
    fn patterns(&self) -> [Option<String>; 4] {
        let all = [self.call, self.publish, self.subscribe, self.register];
        let mut which = 0..;
        all.map(|text| {
            let at: u8 = which.next().unwrap_or_default();
            (self.has >> at & 1 == 1).then(|| text.pattern())
        })
    }

    fn put(&self, file: &mut String) {
        let keys = self.keys.pattern();
        writeln!(file, "[[allow]]\nkeys = [{keys:?}]").unwrap();
        for (verb, pattern) in ["call", "publish", "subscribe", "register"]
            .iter()
            .zip(self.patterns())
        {
            if let Some(pattern) = pattern {
                writeln!(file, "{verb} = [{pattern:?}]").unwrap();
            }
        }
    }
}

fn ask(policy: &Policy, rules: &[Rule], question: &Question) {
    let key = question.key.key();
    let (what, message) = (question.what.name(), question.message.name());
    let verb = usize::from(question.verb % 4);
    let request = match verb {
        0 => Request::Call {
            component: &what,
            message: &message,
        },
        1 => Request::Publish(&what),
        2 => Request::Subscribe(&what),
        _ => Request::Register(&what),
    };
    let mut text = plain(&what);
    if verb == 0 {
        text.push(Symbol::Byte(b'/'));
        text.extend(plain(&message).into_iter().map(|it| match it {
            Symbol::Byte(b'/') => Symbol::Inner,
            other => other,
        }));
    }
    let is_for = |rule: &&Rule| means(&symbols(&rule.keys.pattern()), &plain(&key));
    let allows = |rule: &Rule| {
        let pattern = &rule.patterns()[verb];
        pattern
            .as_ref()
            .is_some_and(|it| means(&symbols(it), &text))
    };
    let expected = rules.iter().filter(is_for).any(allows);
    let decision = policy.decide(&key, &request);
    assert_eq!(
        decision.is_allowed(),
        expected,
        "{key} {request:?}: {decision}"
    );
    assert_eq!(decision.rule().is_some(), expected);
    assert_eq!(policy.names(&key), rules.iter().any(|rule| is_for(&rule)));
    assert!(expected || policy.names(&key) || decision.to_string().contains("no rule names"));
}

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    if input.arbitrary() == Ok(true) {
        let rest = input.bytes(input.len()).unwrap_or_default();
        let text = String::from_utf8_lossy(rest);
        if let Err(error) = text.parse::<Policy>() {
            assert!(!error.to_string().is_empty());
        }
        return;
    }
    let count = input.int_in_range(1..=4_u8).unwrap_or(1);
    let Ok(rules) = (0..count)
        .map(|_| input.arbitrary())
        .collect::<Result<Vec<Rule>, _>>()
    else {
        return;
    };
    let mut file = String::new();
    for rule in &rules {
        rule.put(&mut file);
    }
    // Patterns that can't be one are refused, with all that is in the file.
    let Ok(policy) = file.parse::<Policy>() else {
        return;
    };
    crate::steps(&mut input, 20, |question: Question| {
        ask(&policy, &rules, &question);
        ControlFlow::Continue(())
    });
}
