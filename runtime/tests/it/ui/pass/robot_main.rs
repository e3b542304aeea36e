#[botzilla::main]
async fn main() -> botzilla::Result<()> {
    Ok(())
}
