//! What a stream that nobody finalizes is like: A7, A8.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    stand::Stand,
    verdict::{Finding, Verdict},
};

/// What is documented.
const LIFE: Duration = Duration::from_secs(72 * 3600);

/// A7: a stream without traffic lives three days. A shorter look does not show it.
pub(super) async fn outlives_a_silence(stand: &Stand, silence: Duration) -> Finding {
    let tried = async {
        let stream = stand.stream().await?;
        stand.writer_of(&stream).append(0, stand.rows(&stream, 0, 1)?).await?;
        sleep(silence).await;
        let appended = stand.writer_of(&stream).append(1, stand.rows(&stream, 1, 1)?).await;
        let counted = stand.finalize(&stream).await;
        let seconds = silence.as_secs();
        Ok(match (appended, counted) {
            (Ok(_), Ok(2)) if silence >= LIFE => {
                (Verdict::Holds, format!("it took a row after {seconds} s of silence"))
            }
            (Ok(_), Ok(2)) => {
                (Verdict::NotShown, format!("it took a row after {seconds} s of silence; --idle 72h looks far enough"))
            }
            (appended, counted) => {
                (Verdict::Fails, format!("after {seconds} s of silence: {appended:?}, finalize: {counted:?}"))
            }
        })
    };
    Finding::of("A7", "a stream without traffic lives three days", tried.await)
}

/// A8: what is told of a stream does not depend on its rows, so only finalize tells its length.
pub(super) async fn tells_no_length(stand: &Stand) -> Finding {
    let tried = async {
        let stream = stand.stream().await?;
        let before = stand.other.get_write_stream(&stream).await?;
        stand.writer_of(&stream).append(0, stand.rows(&stream, 0, 3)?).await?;
        let after = stand.other.get_write_stream(&stream).await?;
        let _ = stand.finalize(&stream).await?;
        Ok((Verdict::from(before == after), "GetWriteStream says the same before and after an append".to_owned()))
    };
    Finding::of("A8", "GetWriteStream does not tell the length", tried.await)
}
