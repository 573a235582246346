//! Any sequence of operations on a pooled buffer does what it does to a vector.

use ringest::budget::Budget;
use ringest::net::{Buf, IDLE_BYTES, PADDING, Pool};

/// Two bytes are an operation and its size.
///
/// # Panics
/// Buffer and vector differ.
pub fn buffer(data: &[u8]) {
    let budget = Budget::new(1 << 22);
    let pool = Pool::new(&budget, 1 << 20);
    let mut buf = pool.take_idle();
    let mut model: Vec<u8> = Vec::new();
    for (step, operation) in data.chunks_exact(2).enumerate() {
        let size = usize::from(operation[1]) * 97;
        match operation[0] % 5 {
            0 => receive(&mut buf, &mut model, size, step as u8),
            1 => {
                let front = size.min(model.len());
                buf.drop_front(front);
                model.drain(..front);
            }
            2 => {
                let (start, end) = (size.min(model.len()) / 2, size.min(model.len()));
                buf.padded(start..end, |bytes| {
                    assert_eq!(&bytes[..end - start], &model[start..end]);
                    assert_eq!(&bytes[end - start..], &[0; PADDING]);
                });
            }
            3 => {
                let start = size.min(model.len());
                if let Some(mut larger) = pool.take(model.len() + size * 8) {
                    larger.copy_from(&buf, start);
                    buf = larger;
                    model.drain(..start);
                }
            }
            _ => pool.trim(),
        }
        assert_eq!(buf.received(0), model);
    }
    drop((buf, pool));
    assert_eq!(budget.total(), 0);
}

fn receive(buf: &mut Buf, model: &mut Vec<u8>, size: usize, byte: u8) {
    let filled = buf.filled();
    let size = size.min(buf.capacity() - filled);
    assert!(buf.capacity() >= IDLE_BYTES);
    buf.set_filled(filled + size);
    buf.received(filled).fill(byte);
    model.resize(filled + size, byte);
}
