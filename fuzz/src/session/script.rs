//! The input of a game, read byte by byte.

/// What is left of the input.
pub(super) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// The next action; `None` at the end of the input.
    pub(super) fn action(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A detail of an action; zero behind the end of the input.
    pub(super) fn byte(&mut self) -> u8 {
        self.action().unwrap_or_default()
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Up to 127 bytes behind their number. None of them can name a stream of the game, see
    /// [`super::streams::MARK`]: nobody can tell who sent what is not understood.
    pub(super) fn raw(&mut self) -> Vec<u8> {
        let count = self.below(128).min(self.0.len());
        let (raw, rest) = self.0.split_at(count);
        self.0 = rest;
        let harmless = |byte: &u8| match byte {
            b'#' | b'\\' => b'.',
            other => *other,
        };
        raw.iter().map(harmless).collect()
    }
}
