//! A folder in memory that can refuse any step or lose its power there.

use std::collections::BTreeMap;
use std::io;

use zeroize::Zeroizing;

use super::{Content, Folder};

/// What goes wrong at a chosen step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The step fails, maybe after doing a part; the program goes on.
    Error,
    /// The machine stops before the step: it and all later ones fail.
    CrashBefore,
    /// The machine stops after the step took effect, before anyone heard of it.
    CrashAfter,
}

/// A folder that remembers, like a disk behind a cache, what the running program sees and what would survive a loss of power.
#[derive(Clone, Default)]
pub struct FaultyFolder {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    /// Changes of names not yet forced to the disk, in order: name and file, `None` for a removal.
    pending: Vec<Vec<(String, Option<usize>)>>,
    durable_names: BTreeMap<String, usize>,
    steps: usize,
    fault: Option<(usize, Fault)>,
    dead: bool,
}

#[derive(Clone, Default)]
struct File {
    content: Vec<u8>,
    durable: Vec<u8>,
}

impl File {
    /// What of it may be on the disk after a loss of power.
    fn remains(&self) -> Vec<Vec<u8>> {
        if self.content == self.durable {
            return vec![self.durable.clone()];
        }
        let len = self.content.len();
        let beginnings = (0..=len).map(|kept| self.content[..kept].to_vec());
        // A file system may have noted the length before the octets.
        let padded = beginnings.clone().map(|mut beginning| {
            beginning.resize(len, 0);
            beginning
        });
        beginnings.chain(padded).collect()
    }
}

impl FaultyFolder {
    /// An empty folder without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Steps done so far, failed ones included; reading is none.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Lets the step with this number, counted from 0, go wrong.
    pub fn set_fault(&mut self, step: usize, fault: Fault) {
        self.fault = Some((step, fault));
    }

    /// The folder as the disk might hold it after a loss of power now. What was forced to the disk is there; of what was not,
    /// each file keeps some beginning and the changes of names up to some point, chosen by `chance`.
    #[must_use]
    pub fn power_lost(&self, chance: u64) -> Self {
        let mut chance = chance;
        let mut choose = |most: usize| {
            // The generator of Knuth's MMIX: any spread of choices will do.
            chance = chance
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(chance >> 33).unwrap_or(0) % (most + 1)
        };
        let mut names = self.durable_names.clone();
        let survived = choose(self.pending.len());
        for change in self.pending.iter().take(survived).flatten() {
            match change {
                (name, Some(file)) => names.insert(name.clone(), *file),
                (name, None) => names.remove(name),
            };
        }
        let files = self
            .files
            .iter()
            .map(|file| {
                let content = if file.content == file.durable {
                    file.durable.clone()
                } else {
                    file.content.get(..choose(file.content.len())).unwrap_or_default().to_vec()
                };
                File { durable: content.clone(), content }
            })
            .collect();
        Self { files, durable_names: names.clone(), names, ..Self::default() }
    }

    /// The folder as the next process finds it after this one has ended, at whichever step; the machine went on.
    #[must_use]
    pub fn left_behind(&self) -> Self {
        Self { fault: None, dead: false, ..self.clone() }
    }

    /// Every folder that the disk might hold after a loss of power now: each point up to which changes of names may have arrived, with
    /// each beginning of each file that was not forced to the disk, alone and followed by zeros up to its length. Of a folder with
    /// several such files there are very many.
    #[must_use]
    pub fn remains(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for survived in 0..=self.pending.len() {
            let mut names = self.durable_names.clone();
            for change in self.pending.iter().take(survived).flatten() {
                match change {
                    (name, Some(file)) => names.insert(name.clone(), *file),
                    (name, None) => names.remove(name),
                };
            }
            let mut kept = vec![Self { durable_names: names.clone(), names, ..Self::default() }];
            for (number, file) in self.files.iter().enumerate() {
                let is_named = |folder: &Self| folder.names.values().any(|index| *index == number);
                let each = if kept.iter().any(is_named) { file.remains() } else { vec![vec![]] };
                kept = kept
                    .into_iter()
                    .flat_map(|folder| {
                        each.iter().map(move |content| {
                            let mut folder = folder.clone();
                            let content = content.clone();
                            folder.files.push(File { durable: content.clone(), content });
                            folder
                        })
                    })
                    .collect();
            }
            all.extend(kept);
        }
        all
    }

    /// Counts a step and says whether it takes effect and whether it then reports success.
    fn step(&mut self) -> (bool, io::Result<()>) {
        let number = self.steps;
        self.steps += 1;
        let refused = || Err(io::Error::other("injected fault"));
        if self.dead {
            return (false, refused());
        }
        match self.fault {
            Some((at, Fault::Error)) if at == number => (true, refused()),
            Some((at, Fault::CrashBefore)) if at == number => {
                self.dead = true;
                (false, refused())
            }
            Some((at, Fault::CrashAfter)) if at == number => {
                self.dead = true;
                (true, refused())
            }
            _ => (true, Ok(())),
        }
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        let index = self.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        self.files.get_mut(index).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Folder for FaultyFolder {
    fn read(&mut self, name: &str, limit: usize) -> io::Result<Option<Content>> {
        let Some(index) = self.names.get(name).copied() else { return Ok(None) };
        let content = self.files.get(index).map(|file| file.content.clone()).unwrap_or_default();
        if content.len() > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Some(Content {
            octets: Zeroizing::new(content),
            owner: crate::process::effective_uid(),
            mode: 0o100_600,
        }))
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        let (done, result) = self.step();
        if done {
            let index = self.files.len();
            self.files.push(File::default());
            self.names.insert(name.to_owned(), index);
            self.pending.push(vec![(name.to_owned(), Some(index))]);
        }
        result
    }

    fn write(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let (done, result) = self.step();
        if done {
            // A refused write is as a rule a full disk, after a part.
            let written = if result.is_ok() { content.len() } else { content.len() / 2 };
            self.file(name)?.content = content.get(..written).unwrap_or_default().to_vec();
        }
        result
    }

    fn sync_file(&mut self, name: &str) -> io::Result<()> {
        let (done, result) = self.step();
        // A refused sync promises nothing about the disk.
        if done && (result.is_ok() || self.dead) {
            let file = self.file(name)?;
            file.durable = file.content.clone();
        }
        result
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let (done, result) = self.step();
        // A rename is one step: refused, it has not happened.
        if done && (result.is_ok() || self.dead) {
            let index = self.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            self.names.insert(to.to_owned(), index);
            self.pending.push(vec![(from.to_owned(), None), (to.to_owned(), Some(index))]);
        }
        result
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        let (done, result) = self.step();
        if done && (result.is_ok() || self.dead) {
            self.durable_names = self.names.clone();
            self.pending.clear();
        }
        result
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let (done, result) = self.step();
        if done && (result.is_ok() || self.dead) && self.names.remove(name).is_some() {
            self.pending.push(vec![(name.to_owned(), None)]);
        }
        result
    }
}
