//! Runs the checker and tells of what it saw.

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::{
    action::{ACKED_IS_SOMEWHERE, Action, DONE, NEVER_AT_FAULT, NEVER_BOTH, NEVER_STUCK, NEVER_TWO_ROWS},
    scenario::Scenario,
    state::State,
};

/// Whether the larger bounds are asked for.
pub(crate) fn full() -> bool {
    std::env::var("PIPAS_MODEL").is_ok_and(|value| value == "full")
}

/// Explores every state of the scenario; none may break a promise.
pub(crate) fn holds(name: &str, scenario: Scenario) {
    let explored = explore(name, scenario);
    if let Some((property, path)) = explored.broken {
        panic!("{name}: broken: {property}\n{}", tell(&scenario, path));
    }
    // A world in which nothing comes to its end proves nothing.
    assert!(explored.is_done_somewhere, "{name}: never: {DONE}");
}

/// Explores the scenario until a promise is broken: one of these.
pub(crate) fn breaks(name: &str, scenario: Scenario, expected: &[&str]) {
    let Some((property, path)) = explore(name, scenario).broken else {
        panic!("{name}: {:?} was not found", scenario.weakness);
    };
    assert!(expected.contains(&property), "{name}: broke another promise: {property}\n{}", tell(&scenario, path));
    println!("{name}: broken: {property}\n{}", tell(&scenario, path));
}

struct Explored {
    broken: Option<(&'static str, Path<State, Action>)>,
    is_done_somewhere: bool,
}

fn explore(name: &str, scenario: Scenario) -> Explored {
    let start = Instant::now();
    let threads = if full() { std::thread::available_parallelism().map_or(1, usize::from) } else { 1 };
    let checker = scenario.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "{name}: {} unique states of {} reached, depth {}, in {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        start.elapsed().as_secs_f32(),
    );
    let broken = [NEVER_TWO_ROWS, NEVER_BOTH, ACKED_IS_SOMEWHERE, NEVER_AT_FAULT, NEVER_STUCK]
        .into_iter()
        .find_map(|property| checker.discovery(property).map(|path| (property, path)));
    Explored { broken, is_done_somewhere: checker.discovery(DONE).is_some() }
}

/// The steps of a counterexample, for people.
fn tell(scenario: &Scenario, path: Path<State, Action>) -> String {
    let mut told = String::new();
    let steps = path.into_vec();
    for (number, (state, action)) in steps.iter().enumerate() {
        let Some(action) = action else {
            let rows: Vec<_> = state.streams.iter().map(|(id, stream)| (id, &stream.rows)).collect();
            let acked: Vec<_> = state.messages.iter().map(|message| message.acked).collect();
            let (dead, fault) = (&state.dead_letters, state.fault);
            crate::healing::heal(scenario, &mut state.clone(), |round, state| {
                told += &format!("  healing {round}: fault {:?}, ledger {:?}\n", state.fault, state.ledgers[0].slots);
                for flight in &state.flights {
                    told += &format!("    from {}: {:?} {:?}\n", flight.from, flight.output, flight.reply);
                }
            });
            told += &format!("  rows by stream {rows:?}, dead letters {dead:?}, acked {acked:?}, fault {fault:?}\n");
            break;
        };
        let call = match action {
            Action::Arrive { flight, .. } | Action::Lose { flight, .. } => {
                let flight = &state.flights[*flight];
                format!(" from {}: {:?}", flight.from, flight.output)
            }
            _ => String::new(),
        };
        told += &format!("  {}. {}{call}\n", number + 1, scenario.format_action(action));
    }
    told
}
