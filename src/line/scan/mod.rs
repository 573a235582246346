//! Searching bytes with the widest vectors at hand.
//!
//! One kernel ([`generic`]), written over the small trait [`Vector`]; a thin file per instruction set. The caller chooses a [`Kernel`]
//! once per body. No kernel has tail code: a [`Padded`](super::Padded) body may be read 64 bytes past its end.

pub(super) mod generic;
mod scalar;
pub(super) mod vector;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub(super) use generic::equal;
pub(super) use scalar::Swar;
#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::{Avx2, Sse2};

/// The instruction set that a body is scanned with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Sse2,
    /// 8 bytes at a time in a general register.
    Portable,
}

impl Kernel {
    /// All kernels that this processor can run, the fastest first.
    pub fn available() -> Vec<Kernel> {
        let mut kernels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2")
            {
                kernels.push(Kernel::Avx2);
            }
            kernels.push(Kernel::Sse2);
        }
        kernels.push(Kernel::Portable);
        kernels
    }

    /// The fastest kernel of this processor.
    pub fn fastest() -> Kernel {
        Self::available()[0]
    }

    pub const fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kernel::Sse2 => "sse2",
            Kernel::Portable => "portable",
        }
    }
}

/// Whether the body goes on at `at` (a position inside of it) with `pattern[..len]`, where `pattern` has 64 more readable bytes.
///
/// A sink's way to compare what it expects in place. `V` is the parser's vector.
#[inline(always)]
pub fn equal_prefix<V: vector::Vector>(body: &super::Padded<'_>, at: usize, pattern: &[u8], len: usize) -> bool {
    if len > body.len() - at {
        return false;
    }
    assert!(pattern.len() >= len + super::PADDING);
    // SAFETY: both sides have `len` bytes and at least 64 more behind them.
    unsafe { equal::<V>(body.pointer(at), pattern.as_ptr(), len) }
}
