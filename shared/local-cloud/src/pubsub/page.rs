use tonic::Status;

/// One page of a list that is ordered by name; the token is the last name of the page before.
pub(super) struct Page<'a> {
    after: &'a str,
    size: usize,
}

const LARGEST: usize = 1000;

impl<'a> Page<'a> {
    pub(super) fn new(size: i32, token: &'a str) -> Result<Self, Status> {
        let size = match usize::try_from(size) {
            Ok(0) => LARGEST,
            Ok(size) => size.min(LARGEST),
            Err(_) => return Err(Status::invalid_argument("The page_size must not be negative.")),
        };
        Ok(Self { after: token, size })
    }

    /// Items begin after this name.
    pub(super) fn after(&self) -> &str {
        self.after
    }

    /// How many items to look for: one more than the page holds, which tells whether there is another.
    pub(super) fn most(&self) -> usize {
        self.size + 1
    }

    /// The page's items and the token of the next page.
    pub(super) fn cut<T>(&self, mut items: Vec<T>, name: impl Fn(&T) -> &String) -> (Vec<T>, String) {
        let more = items.len() > self.size;
        items.truncate(self.size);
        let token = if more { items.last().map(name).cloned().unwrap_or_default() } else { String::new() };
        (items, token)
    }
}
