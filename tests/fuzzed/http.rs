//! Any bytes as a connection: however they are cut into pieces, the same events, heads, bodies and errors come of them.

use ringest::http::{Error, Event, Head, Limits, Phase, State};

/// Small, so that short inputs reach the limits.
const LIMITS: Limits = Limits { head_bytes_max: 256, headers_max: 8, body_bytes_max: 64 };
/// Bytes at the start of the data that say how the rest is cut.
const PLAN_BYTES: usize = 4;

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Head(Box<Head>),
    Body(Vec<u8>),
    Refused(Error),
}

/// The first bytes of `data` are piece lengths, used in turn; the rest is what the connection delivers.
///
/// # Panics
/// The events depend on the pieces, or break what their documentation promises.
pub fn http(data: &[u8]) {
    let Some((plan, input)) = data.split_at_checked(PLAN_BYTES) else { return };
    let whole = play(input, std::iter::repeat(usize::MAX));
    assert_eq!(play(input, std::iter::repeat(1)), whole, "byte by byte");
    assert_eq!(
        play(input, plan.iter().cycle().map(|piece| usize::from(*piece).max(1))),
        whole,
        "in pieces of {plan:?}"
    );
    check(&whole.0, input.len());
}

/// Delivers `input` in pieces of these lengths; returns what came of it and where the connection stands then.
fn play(input: &[u8], pieces: impl Iterator<Item = usize>) -> (Vec<Step>, Phase) {
    let mut state = State::new(LIMITS);
    let (mut steps, mut buffer, mut rest) = (Vec::new(), Vec::new(), input);
    // Bytes of input without which the current request can not be complete, by what was announced.
    let mut needed = 0;
    for piece in pieces {
        let (come, behind) = rest.split_at(piece.min(rest.len()));
        buffer.extend_from_slice(come);
        rest = behind;
        let fed = input.len() - rest.len();
        loop {
            match state.advance(&mut buffer) {
                Ok(Event::More { filled, missing }) => {
                    assert!(missing > 0 && filled <= buffer.len());
                    buffer.truncate(filled);
                    needed = needed.max(fed + missing);
                    break;
                }
                Ok(Event::Head) => steps.push(Step::Head(Box::new(state.head().clone()))),
                Ok(Event::Body { body, consumed }) => {
                    assert!(fed >= needed, "complete before the announced bytes came");
                    assert!(body.end <= consumed && consumed <= buffer.len());
                    steps.push(Step::Body(buffer[body].to_vec()));
                    buffer.drain(..consumed);
                }
                Err(error) => {
                    assert_eq!(state.advance(&mut buffer), Err(error.clone()), "an error is final");
                    steps.push(Step::Refused(error));
                    return (steps, state.phase());
                }
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    (steps, state.phase())
}

/// What holds for every connection, whatever it delivers.
fn check(steps: &[Step], input_bytes: usize) {
    let mut body_bytes = 0;
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::Head(head) => {
                assert!(index == 0 || matches!(steps[index - 1], Step::Body(_)), "a head behind a head");
                assert!(head.path.starts_with('/') || head.path == "*");
                assert!(head.path.bytes().chain(head.query.bytes()).all(|byte| byte.is_ascii_graphic()));
                assert!(!(head.chunked && head.content_length.is_some()));
            }
            Step::Body(body) => {
                let Some(Step::Head(head)) = index.checked_sub(1).map(|before| &steps[before]) else {
                    panic!("a body without a head")
                };
                assert!(body.len() <= LIMITS.body_bytes_max);
                assert!(head.chunked || body.len() as u64 == head.content_length.unwrap_or(0));
                body_bytes += body.len();
            }
            Step::Refused(error) => {
                assert!(matches!(error.status().code(), 400 | 413 | 414 | 417 | 431 | 501 | 505), "{error}");
                assert!(error.to_string().bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{error:?}");
            }
        }
    }
    assert!(body_bytes <= input_bytes);
}
