//! Searching bytes with the widest vectors at hand.
//!
//! One kernel ([`generic`]), written over the small trait [`Vector`]; a thin file per instruction set. The caller chooses a [`Kernel`]
//! once per body. No kernel has tail code: a [`Padded`](super::Padded) body may be read 64 bytes past its end.

pub(super) mod generic;
mod scalar;
pub(super) mod vector;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub(super) use scalar::Swar;
#[cfg(target_arch = "x86_64")]
use x86_64::{Avx2, Avx512, Sse2};

use vector::{Task, Vector};

/// The instruction set that a body is scanned with; one that this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(pub(in crate::line) Isa);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::line) enum Isa {
    /// AVX-512 F, BW and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Sse2,
    /// 8 bytes at a time in a general register.
    Portable,
}

impl Kernel {
    /// The one that every processor can run.
    pub const PORTABLE: Kernel = Kernel(Isa::Portable);

    /// All kernels that this processor can run, the one that is fastest as a rule first.
    pub fn available() -> Vec<Kernel> {
        let mut kernels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("popcnt");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl");
            // Names, values and most steps through a key are shorter than 64 bytes: where both were measured (AMD Zen 4), AVX2 was faster.
            if avx2 {
                kernels.push(Kernel(Isa::Avx2));
            }
            if avx2 && avx512 {
                kernels.push(Kernel(Isa::Avx512));
            }
            kernels.push(Kernel(Isa::Sse2));
        }
        kernels.push(Self::PORTABLE);
        kernels
    }

    /// The fastest kernel of this processor.
    pub fn fastest() -> Kernel {
        Self::available().first().copied().unwrap_or(Self::PORTABLE)
    }

    /// The kernel of this name, if this processor can run it.
    pub fn named(name: &str) -> Option<Kernel> {
        Self::available().into_iter().find(|kernel| kernel.name() == name)
    }

    /// Runs the task with this kernel's vector.
    pub(in crate::line) fn run<T: Task>(self, task: T) -> T::Output {
        // SAFETY: a kernel is made only if the processor has its instructions.
        unsafe {
            match self.0 {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => Avx512::run(task),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => Avx2::run(task),
                #[cfg(target_arch = "x86_64")]
                Isa::Sse2 => Sse2::run(task),
                Isa::Portable => Swar::run(task),
            }
        }
    }

    pub const fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Isa::Sse2 => "sse2",
            Isa::Portable => "portable",
        }
    }
}

/// How many of the bytes that structure line protocol (`,` `=` space LF `"` `\\`) a body holds: what the kernel's search costs without
/// any prediction.
pub fn count_delimiters(body: super::Padded<'_>, kernel: Kernel) -> u64 {
    struct Count<'a>(super::Padded<'a>);

    impl Task for Count<'_> {
        type Output = u64;

        #[inline(always)]
        fn run<V: Vector>(self) -> u64 {
            generic::count::<V, 6>(&self.0, *b",= \n\"\\")
        }
    }

    kernel.run(Count(body))
}

/// Whether `rest` begins with `pattern[..len]`, where `pattern` has 64 more readable bytes.
///
/// A sink's way to compare what it expects in place. `V` is the parser's vector.
#[inline(always)]
pub fn begins_with<V: Vector>(rest: super::Rest<'_>, pattern: &[u8], len: usize) -> bool {
    if len > rest.len() {
        return false;
    }
    assert!(pattern.len() >= len + super::PADDING);
    // SAFETY: both sides have `len` bytes and at least 64 more behind them.
    unsafe { generic::equal::<V>(rest.pointer(), pattern.as_ptr(), len) }
}

/// The same for patterns of up to 32 bytes, which do not end in a zero byte.
#[inline(always)]
pub fn begins_with_short<V: Vector>(rest: super::Rest<'_>, pattern: &[u8; 32], len: usize) -> bool {
    assert!(len <= 32);
    // SAFETY: 32 bytes may be read at both. What is compared behind the end of the body is zero.
    unsafe { V::equal_within_32(rest.pointer(), pattern.as_ptr(), len) }
}
