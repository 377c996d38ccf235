use redis::Script;

/// The ledger's scripts. Each is one atomic step, in one hash slot.
pub(super) struct Scripts {
    pub(super) claim: Script,
    pub(super) settle: Script,
    pub(super) release: Script,
    pub(super) swap: Script,
    pub(super) read: Script,
    pub(super) restore: Script,
    pub(super) survey: Script,
    pub(super) adopt: Script,
    pub(super) beat: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            claim: Script::new(concat!(include_str!("guard.lua"), include_str!("keys.lua"), include_str!("claim.lua"))),
            settle: Script::new(concat!(include_str!("keys.lua"), include_str!("settle.lua"))),
            release: Script::new(concat!(include_str!("keys.lua"), include_str!("release.lua"))),
            swap: Script::new(concat!(include_str!("guard.lua"), include_str!("keys.lua"), include_str!("swap.lua"))),
            read: Script::new(concat!(include_str!("keys.lua"), include_str!("read.lua"))),
            restore: Script::new(concat!(
                include_str!("guard.lua"),
                include_str!("keys.lua"),
                include_str!("restore.lua")
            )),
            survey: Script::new(concat!(include_str!("guard.lua"), include_str!("survey.lua"))),
            adopt: Script::new(concat!(include_str!("guard.lua"), include_str!("adopt.lua"))),
            beat: Script::new(concat!(include_str!("guard.lua"), include_str!("beat.lua"))),
        }
    }
}
