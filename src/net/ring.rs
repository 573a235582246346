//! A shard's runtime: one io_uring per thread.

use std::fmt;
use std::future::Future;
use std::io;

use rustix::io::Errno;

/// Entries of the submission queue (the completion queue has twice as many). More operations at once are fine: a full queue is
/// handed to the kernel and filled again.
const ENTRIES: u32 = 1024;

/// Where the kernel says whether io_uring is switched off.
const DISABLED_SYSCTL: &str = "/proc/sys/kernel/io_uring_disabled";

/// The runtime of one thread; made by the thread that uses it (SINGLE_ISSUER binds it to its maker).
pub struct Ring {
    runtime: tokio_uring::Runtime,
}

impl Ring {
    /// With COOP_TASKRUN and SINGLE_ISSUER (a tenth to a half faster on small requests), without them where the kernel knows
    /// them not. DEFER_TASKRUN would hang: tokio_uring waits in epoll, which does not run deferred work.
    pub fn new() -> Result<Self, RingError> {
        let mut flags = tokio_uring::uring_builder();
        flags.setup_coop_taskrun().setup_single_issuer();
        let mut builder = tokio_uring::builder();
        builder.entries(ENTRIES).uring_builder(&flags);
        let runtime = match tokio_uring::Runtime::new(&builder) {
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                tokio_uring::Runtime::new(builder.uring_builder(&tokio_uring::uring_builder()))
            }
            result => result,
        };
        match runtime {
            Ok(runtime) => Ok(Self { runtime }),
            Err(error) => Err(RingError { error, disabled: read_disabled_sysctl() }),
        }
    }

    /// Whether this process may use io_uring at all; to be asked before the node says that it is up.
    pub fn probe() -> Result<(), RingError> {
        Self::new().map(drop)
    }

    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}

/// Starts a task on the ring of this thread. Dropping a task does not end its pending operation: a deadline shuts the socket down instead.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    drop(tokio_uring::spawn(task));
}

fn read_disabled_sysctl() -> Option<u8> {
    std::fs::read_to_string(DISABLED_SYSCTL).ok()?.trim().parse().ok()
}

/// The kernel gave no ring.
#[derive(Debug)]
pub struct RingError {
    error: io::Error,
    /// `kernel.io_uring_disabled`, where it can be read.
    disabled: Option<u8>,
}

impl std::error::Error for RingError {}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "io_uring cannot be used ({}): ", self.error)?;
        let errno = self.error.raw_os_error().map(Errno::from_raw_os_error);
        f.write_str(match (errno, self.disabled) {
            (Some(Errno::NOSYS), _) => {
                "the kernel has none, or a container's seccomp profile hides it; ringest needs Linux 5.19 or later and a profile \
                 that allows io_uring_setup, io_uring_enter and io_uring_register"
            }
            (Some(Errno::PERM | Errno::ACCESS), Some(2)) => {
                "kernel.io_uring_disabled is 2; set it to 0 (sysctl -w kernel.io_uring_disabled=0)"
            }
            (Some(Errno::PERM | Errno::ACCESS), Some(1)) => {
                "kernel.io_uring_disabled is 1 and this user is not in the group kernel.io_uring_group; add it, or set the first to 0 \
                 (sysctl -w kernel.io_uring_disabled=0)"
            }
            (Some(Errno::PERM | Errno::ACCESS), _) => {
                "a seccomp profile forbids it (Docker's default does); run the container with a profile that allows io_uring_setup, \
                 io_uring_enter and io_uring_register (docker run --security-opt seccomp=<profile>)"
            }
            (Some(Errno::NOMEM), _) => "the limit on locked memory is too small; raise it (ulimit -l, LimitMEMLOCK=)",
            (Some(Errno::MFILE | Errno::NFILE), _) => "no file descriptor is left; raise the limit (ulimit -n, LimitNOFILE=)",
            _ => "ringest needs Linux 5.19 or later with io_uring",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(errno: Errno, disabled: Option<u8>) -> String {
        RingError { error: io::Error::from_raw_os_error(errno.raw_os_error()), disabled }.to_string()
    }

    #[test]
    fn says_why_and_what_to_do() {
        assert!(sentence(Errno::NOSYS, None).contains("Linux 5.19"));
        assert!(sentence(Errno::PERM, Some(2)).contains("sysctl -w kernel.io_uring_disabled=0"));
        assert!(sentence(Errno::PERM, Some(1)).contains("kernel.io_uring_group"));
        assert!(sentence(Errno::PERM, Some(0)).contains("seccomp"));
        assert!(sentence(Errno::PERM, None).contains("seccomp"));
    }
}
