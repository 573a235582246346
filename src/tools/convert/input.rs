//! The files to convert, found and opened.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::GzDecoder;

use super::error::Cause;

/// Where line protocol comes from, plain or as gzip (of one member or several); which of both, its first bytes tell.
pub enum Input {
    /// A file, or a folder: all files below it, in the order of their paths.
    Path(PathBuf),
    /// Anything else; the name is for messages.
    Reader { name: String, read: Box<dyn Read + Send> },
}

impl Input {
    /// A path; `-` is standard input.
    pub fn named(path: &Path) -> Self {
        match path.as_os_str() == "-" {
            true => Self::Reader { name: "standard input".to_owned(), read: Box::new(io::stdin()) },
            false => Self::Path(path.to_owned()),
        }
    }
}

impl From<&Path> for Input {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_owned())
    }
}

/// Inputs that are still to be opened, in order.
pub struct Waiting {
    inputs: VecDeque<Input>,
    /// Bytes of all of them; `None` where nobody knows.
    pub bytes: Option<u64>,
    /// Bytes that were read so far.
    read: Arc<AtomicU64>,
}

/// An input that is being read.
pub struct Opened {
    pub name: Arc<str>,
    pub read: Box<dyn Read + Send>,
    pub is_gzip: bool,
}

impl Waiting {
    /// Lists all files. None may be one of the output's.
    pub fn list(inputs: Vec<Input>, output: Option<&Path>) -> Result<Self, Cause> {
        let output = output.and_then(|output| output.canonicalize().ok());
        let mut listed = VecDeque::new();
        let mut bytes = Some(0);
        for input in inputs {
            match input {
                Input::Path(path) => {
                    if let Some(output) = &output
                        && path.is_dir()
                        && path.canonicalize().is_ok_and(|input| output.starts_with(input))
                    {
                        return Err(Cause::OutputInInput { output: output.clone(), input: path });
                    }
                    walk(path, &mut listed, &mut bytes)?;
                }
                reader => {
                    bytes = None;
                    listed.push_back(reader);
                }
            }
        }
        Ok(Self { inputs: listed, bytes, read: Arc::default() })
    }

    pub fn read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    /// Opens the next input; `None` behind the last one.
    pub fn open(&mut self) -> Result<Option<Opened>, Cause> {
        let Some(input) = self.inputs.pop_front() else { return Ok(None) };
        let (name, read): (Arc<str>, Box<dyn Read + Send>) = match input {
            Input::Path(path) => match File::open(&path) {
                Ok(file) => (path.display().to_string().into(), Box::new(file)),
                Err(source) => return Err(Cause::Input { path, source }),
            },
            Input::Reader { name, read } => (name.into(), read),
        };
        let mut read = Counted { read, bytes: Arc::clone(&self.read) };
        let head = head(&mut read).map_err(|source| Cause::Read { input: Arc::clone(&name), source })?;
        let is_gzip = head == GZIP;
        let whole = Cursor::new(head).chain(read);
        let read: Box<dyn Read + Send> = match is_gzip {
            true => Box::new(Members::new(BufReader::with_capacity(GZIP_BUFFER_BYTES, whole))),
            false => Box::new(whole),
        };
        Ok(Some(Opened { name, read, is_gzip }))
    }
}

/// What a gzip file begins with. No line does: the second byte is not UTF-8.
const GZIP: [u8; 2] = [0x1F, 0x8B];
const GZIP_BUFFER_BYTES: usize = 64 << 10;

/// The first bytes, as many as tell gzip.
fn head(read: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    read.take(GZIP.len() as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// What the members of a gzip file hold, one behind the other. Zero bytes between them and behind the last are passed over, as gzip(1) does it:
/// tapes and block devices fill their blocks up with them.
struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Members<R> {
    fn new(read: R) -> Self {
        Self(Some(GzDecoder::new(read)))
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let bytes = member.read(buffer)?;
            if bytes > 0 || buffer.is_empty() {
                return Ok(bytes);
            }
            let Some(mut rest) = self.0.take().map(GzDecoder::into_inner) else { break };
            self.0 = skip_zeros(&mut rest)?.then(|| GzDecoder::new(rest));
        }
        Ok(0)
    }
}

/// Answers whether anything else follows.
fn skip_zeros(read: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = read.fill_buf()?;
        let (zeros, all) = (bytes.iter().take_while(|byte| **byte == 0).count(), bytes.len());
        read.consume(zeros);
        if zeros < all || all == 0 {
            return Ok(all > 0);
        }
    }
}

/// Counts what is read.
struct Counted {
    read: Box<dyn Read + Send>,
    bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.read.read(buffer)?;
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// Lists a file, or all files below a folder in the order of their paths. Folders that a link inside leads to are left out: they may be
/// anywhere, or the folder itself; so are pipes and devices, which nobody means with a folder and which may never end.
fn walk(path: PathBuf, listed: &mut VecDeque<Input>, bytes: &mut Option<u64>) -> Result<(), Cause> {
    let error = |source| Cause::Input { path: path.clone(), source };
    let about = fs::metadata(&path).map_err(error)?;
    if !about.is_dir() {
        // A pipe or a device has no length.
        *bytes = bytes.filter(|_| about.is_file()).map(|bytes| bytes + about.len());
        listed.push_back(Input::Path(path));
        return Ok(());
    }
    let entries: io::Result<Vec<_>> = fs::read_dir(&path).map_err(error)?.collect();
    let mut inside = Vec::new();
    for entry in entries.map_err(error)? {
        let is_link = entry.file_type().map_err(error)?.is_symlink();
        let path = entry.path();
        let about = fs::metadata(&path).map_err(|source| Cause::Input { path: path.clone(), source })?;
        if about.is_file() || about.is_dir() && !is_link {
            inside.push(path);
        }
    }
    inside.sort();
    inside.into_iter().try_for_each(|path| walk(path, listed, bytes))
}
