/// Placeholder until the compiler lands in the next commit.
#[derive(Debug)]
pub struct RuleError;
pub fn compile(_: &[u8]) -> Result<super::Rulebook, Vec<RuleError>> {
    Err(vec![RuleError])
}
