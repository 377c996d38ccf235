//! What a stream that nobody finalizes is like: A7, A8.

use std::time::Duration;

use storage_write::AppendError;
use tokio::time::sleep;

use super::{
    stand::Stand,
    verdict::{Finding, Verdict},
};

/// What is documented.
const LIFE: Duration = Duration::from_secs(72 * 3600);

/// A7: a stream without traffic lives three days. A shorter look does not show it; without `silence` nobody looks.
pub(super) async fn outlives_a_silence(stand: &Stand, silence: Option<Duration>) -> Finding {
    const SAYS: &str = "a stream without traffic lives three days";
    let Some(silence) = silence else {
        return Finding::of("A7", SAYS, Ok((Verdict::NotTried, "--idle 72h tries it".to_owned())));
    };
    let tried = async {
        let stream = stand.stream().await?;
        stand.write(&stream, 0).await?;
        sleep(silence).await;
        let late = stand.append(&stream, 1).await?;
        let seconds = silence.as_secs();
        Ok(match late {
            // An earlier try of the same row may have been applied.
            Ok(_) | Err(AppendError::AlreadyExists(_)) => match stand.finalize(&stream).await? {
                2 if silence >= LIFE => (Verdict::Holds, format!("it took a row after {seconds} s of silence")),
                2 => (
                    Verdict::NotShown,
                    format!("it took a row after {seconds} s of silence; --idle 72h looks far enough"),
                ),
                counted => {
                    (Verdict::Fails, format!("it took a row after {seconds} s of silence, but has {counted} of 2 rows"))
                }
            },
            Err(error @ AppendError::StreamGone(_)) => {
                (Verdict::Fails, format!("after {seconds} s of silence: {error}"))
            }
            Err(error) => {
                (Verdict::NotShown, format!("after {seconds} s of silence an append failed otherwise: {error}"))
            }
        })
    };
    Finding::of("A7", SAYS, tried.await)
}

/// A8: what is told of a stream does not depend on its rows, so only finalize tells its length.
pub(super) async fn tells_no_length(stand: &Stand) -> Finding {
    let tried = async {
        let stream = stand.stream().await?;
        let before = stand.other.get_write_stream(&stream).await?;
        stand.write(&stream, 0).await?;
        let after = stand.other.get_write_stream(&stream).await?;
        let _ = stand.finalize(&stream).await?;
        let is_same = before == after;
        let says = if is_same { "says the same" } else { "does not say the same" };
        Ok((Verdict::from(is_same), format!("GetWriteStream {says} before and after an append")))
    };
    Finding::of("A8", "GetWriteStream does not tell the length", tried.await)
}
