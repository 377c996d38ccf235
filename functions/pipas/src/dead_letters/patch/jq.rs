//! jq filters, by jaq: the language and its library, without what does or sees more than a change of the event.

use anyhow::{anyhow, bail};
use jaq_core::{
    Compiler, Ctx, Native, Vars,
    compile::Filter,
    data::JustLut,
    load::{Arena, Error as LoadError, File, Loader},
    unwrap_valr,
};
use jaq_json::Val;

/// What does or sees more than a change of an event, by name; definitions and what they stand on.
const ABSENT: [&str; 7] = ["debug", "debug_empty", "env", "halt", "halt_error", "stderr", "stderr_empty"];

/// A compiled filter.
pub(super) struct Jq(Filter<Native<JustLut<Val>>>);

impl Jq {
    pub(super) fn compile(code: &str) -> anyhow::Result<Self> {
        let standard = jaq_std::defs().filter(|definition| !ABSENT.contains(&definition.name));
        let functions = jaq_std::funs().filter(|(name, ..)| !ABSENT.contains(name));
        let definitions = jaq_core::defs().chain(standard).chain(jaq_json::defs());
        let functions = jaq_core::funs().chain(functions).chain(jaq_json::funs());
        let arena = Arena::default();
        let modules = Loader::new(definitions).load(&arena, File { code, path: () }).map_err(|errors| {
            let first = errors.into_iter().next().map(|(_, error)| unreadable(error));
            anyhow!("not a jq filter: {}", first.unwrap_or_default())
        })?;
        let filter = Compiler::default().with_funs(functions).compile(modules).map_err(|errors| {
            let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
            let first = first.map(|(name, kind)| format!("undefined {} {name}", kind.as_str()));
            anyhow!("not a jq filter: {}", first.unwrap_or_default())
        })?;
        Ok(Self(filter))
    }

    /// The one value that the filter makes of `event`.
    pub(super) fn run(&self, event: Val) -> anyhow::Result<Val> {
        let context = Ctx::<JustLut<Val>>::new(&self.0.lut, Vars::new([]));
        let mut made = self.0.id.run((context, event)).map(unwrap_valr);
        let value = match made.next() {
            Some(Ok(value)) => value,
            Some(Err(error)) => bail!("the filter fails: {error}"),
            None => bail!("the filter makes nothing of it"),
        };
        match made.next() {
            None => Ok(value),
            Some(_) => bail!("the filter makes more than one value of it"),
        }
    }
}

fn unreadable(error: LoadError<&str>) -> String {
    let at = |expected: &str, found: &str| {
        let found: String = found.chars().take(40).collect();
        format!("expected {expected}, found {}", if found.is_empty() { "the end" } else { &found })
    };
    match error {
        LoadError::Lex(errors) => errors.first().map(|(expected, found)| at(expected.as_str(), found)),
        LoadError::Parse(errors) => errors.first().map(|(expected, found)| at(expected.as_str(), found)),
        LoadError::Io(errors) => errors.first().map(|(name, error)| format!("{name}: {error}")),
    }
    .unwrap_or_default()
}
