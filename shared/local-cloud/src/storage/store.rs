//! Buckets and objects on disk.
//!
//! ```text
//! {root}/{bucket}/{object}                 the bytes, named as file_name.rs says
//! {root}/.pipas/buckets/{bucket}.json      a bucket's metadata
//! {root}/.pipas/objects/{bucket}/{name}    an object's metadata: while it stands, the object exists
//! {root}/.pipas/commits/                   changes under way
//! {root}/.pipas/uploads/                   bytes on their way in, and resumable sessions
//! ```
//! An object changes in three steps, each one rename: its new metadata is written to `commits`, the new bytes take
//! their place, the metadata moves to `objects`. A process that dies in between leaves the commit, and the next start
//! finishes it, so bytes and metadata always belong together. A delete moves the metadata to `commits` first.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    bucket::Bucket,
    checksum::Checksums,
    error::{ApiError, ApiResult},
    file_name,
    object::{Attributes, Object},
    preconditions::Preconditions,
};

/// Every bucket and object, with their places on disk.
pub(crate) struct Store {
    root: PathBuf,
    state: Mutex<State>,
}

struct State {
    buckets: BTreeMap<String, Shelf>,
    last_generation: i64,
}

/// One bucket with its objects.
struct Shelf {
    bucket: Bucket,
    objects: BTreeMap<String, Stored>,
    /// Which object has a path below the bucket's folder; paths in lower case, as some file systems ignore it.
    owners: HashMap<String, String>,
}

/// An object and where its bytes lie, relative to the bucket's folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    file: String,
    object: Object,
}

/// A change under way.
#[derive(Debug, Serialize, Deserialize)]
struct Commit {
    /// The new bytes inside `uploads`; `None`: the bytes stay.
    bytes: Option<String>,
    stored: Stored,
}

/// An object that is about to be.
pub(crate) struct NewObject {
    pub(crate) bucket: String,
    pub(crate) name: String,
    /// A file that [`Store::upload_path`] named; it is moved, not copied.
    pub(crate) bytes: PathBuf,
    pub(crate) checksums: Checksums,
    pub(crate) component_count: Option<u32>,
    pub(crate) attributes: Attributes,
}

impl Store {
    /// Opens the folder, finishing what an earlier process had begun.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let hidden = root.join(".pipas");
        for folder in ["buckets", "objects", "commits", "uploads"] {
            fs::create_dir_all(hidden.join(folder))?;
        }
        let state = State { buckets: BTreeMap::new(), last_generation: 0 };
        let store = Self { root: root.to_owned(), state: Mutex::new(state) };
        store.finish_commits()?;
        store.load()?;
        Ok(store)
    }

    /// A fresh path for bytes on their way in.
    pub(crate) fn upload_path(&self) -> PathBuf {
        self.uploads().join(format!("{}.bytes", Uuid::new_v4()))
    }

    /// The folder of the resumable sessions.
    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join(".pipas/uploads")
    }

    /// Every bucket, by name.
    pub(crate) fn buckets(&self) -> Vec<Bucket> {
        self.state.lock().buckets.values().map(|shelf| shelf.bucket.clone()).collect()
    }

    /// The bucket `name`.
    pub(crate) fn bucket(&self, name: &str) -> ApiResult<Bucket> {
        self.state.lock().shelf(name).map(|shelf| shelf.bucket.clone())
    }

    /// Makes a bucket; 409 where there is one.
    pub(crate) fn insert_bucket(&self, bucket: Bucket) -> ApiResult<()> {
        let mut state = self.state.lock();
        if state.buckets.contains_key(&bucket.name) {
            return Err(ApiError::conflict(
                "Your previous request to create the named bucket succeeded and you already own it.",
            ));
        }
        fs::create_dir_all(self.root.join(&bucket.name))?;
        fs::create_dir_all(self.objects_folder(&bucket.name))?;
        write_json(&self.bucket_path(&bucket.name), &bucket)?;
        let shelf = Shelf { bucket: bucket.clone(), objects: BTreeMap::new(), owners: HashMap::new() };
        state.buckets.insert(bucket.name, shelf);
        Ok(())
    }

    /// Changes a bucket under `preconditions`.
    pub(crate) fn change_bucket(
        &self,
        name: &str,
        preconditions: &Preconditions,
        change: impl FnOnce(&Bucket) -> ApiResult<Bucket>,
    ) -> ApiResult<Bucket> {
        let mut state = self.state.lock();
        let shelf = state.shelf_mut(name)?;
        preconditions.check_metageneration(shelf.bucket.metageneration)?;
        let mut bucket = change(&shelf.bucket)?;
        bucket.metageneration += 1;
        bucket.updated = Timestamp::now();
        write_json(&self.bucket_path(name), &bucket)?;
        shelf.bucket = bucket.clone();
        Ok(bucket)
    }

    /// Removes an empty bucket; 409 where it holds objects.
    pub(crate) fn delete_bucket(&self, name: &str, preconditions: &Preconditions) -> ApiResult<()> {
        let mut state = self.state.lock();
        let shelf = state.shelf(name)?;
        preconditions.check_metageneration(shelf.bucket.metageneration)?;
        if !shelf.objects.is_empty() {
            return Err(ApiError::conflict("The bucket you tried to delete is not empty."));
        }
        fs::remove_file(self.bucket_path(name))?;
        state.buckets.remove(name);
        // Folders that are not empty hold files that are no objects of ours: they stay.
        let _ = fs::remove_dir_all(self.objects_folder(name));
        let _ = fs::remove_dir(self.root.join(name).join(".names"));
        let _ = fs::remove_dir(self.root.join(name));
        Ok(())
    }

    /// The live object `name`; with a `generation`, only if it is that one.
    pub(crate) fn object(&self, bucket: &str, name: &str, generation: Option<i64>) -> ApiResult<Object> {
        Ok(self.state.lock().stored(bucket, name, generation)?.object.clone())
    }

    /// The live object and its bytes, opened: what is read is this generation's, whatever replaces it meanwhile.
    pub(crate) fn open_object(
        &self,
        bucket: &str,
        name: &str,
        generation: Option<i64>,
    ) -> ApiResult<(Object, fs::File)> {
        let state = self.state.lock();
        let stored = state.stored(bucket, name, generation)?;
        let file = fs::File::open(self.root.join(bucket).join(&stored.file))?;
        Ok((stored.object.clone(), file))
    }

    /// Refuses at once what [`Store::put`] would refuse at the end.
    pub(crate) fn check_put(&self, bucket: &str, name: &str, preconditions: &Preconditions) -> ApiResult<()> {
        let state = self.state.lock();
        check_replace(state.shelf(bucket)?.objects.get(name), preconditions)
    }

    /// Makes the object, or a new generation of it, in one step.
    pub(crate) fn put(&self, new: NewObject, preconditions: &Preconditions) -> ApiResult<Object> {
        let mut state = self.state.lock();
        let shelf = state.shelf(&new.bucket)?;
        let live = shelf.objects.get(&new.name);
        check_replace(live, preconditions)?;
        let file = live.map_or_else(|| self.free_file(shelf, &new.name), |stored| stored.file.clone());
        let now = Timestamp::now();
        let object = Object {
            bucket: new.bucket.clone(),
            name: new.name,
            generation: state.next_generation(now),
            metageneration: 1,
            size: new.checksums.size,
            crc32c: new.checksums.crc32c,
            md5: new.component_count.is_none().then_some(new.checksums.md5),
            component_count: new.component_count,
            created: now,
            updated: now,
            attributes: new.attributes,
        };
        let bytes = new.bytes.file_name().map(|name| name.to_string_lossy().into_owned());
        self.commit(Commit { bytes, stored: Stored { file: file.clone(), object: object.clone() } })?;
        let shelf = state.shelf_mut(&new.bucket)?;
        shelf.take(Stored { file, object: object.clone() });
        Ok(object)
    }

    /// Changes an object's attributes under `preconditions`: a new metageneration of the same generation.
    pub(crate) fn change_object(
        &self,
        bucket: &str,
        name: &str,
        (generation, preconditions): (Option<i64>, &Preconditions),
        change: impl FnOnce(&Attributes) -> ApiResult<Attributes>,
    ) -> ApiResult<Object> {
        let mut state = self.state.lock();
        let Stored { file, mut object } = state.stored(bucket, name, generation)?.clone();
        preconditions.check_write(Some(&object))?;
        object.attributes = change(&object.attributes)?;
        object.metageneration += 1;
        object.updated = Timestamp::now();
        self.commit(Commit { bytes: None, stored: Stored { file: file.clone(), object: object.clone() } })?;
        state.shelf_mut(bucket)?.take(Stored { file, object: object.clone() });
        Ok(object)
    }

    /// Removes an object under `preconditions`.
    pub(crate) fn delete_object(
        &self,
        bucket: &str,
        name: &str,
        generation: Option<i64>,
        preconditions: &Preconditions,
    ) -> ApiResult<()> {
        let mut state = self.state.lock();
        let stored = state.stored(bucket, name, generation)?.clone();
        preconditions.check_write(Some(&stored.object))?;
        if stored.object.attributes.is_held() {
            return Err(held());
        }
        let commit = self.commits().join(format!("{}.delete", Uuid::new_v4()));
        let place = self.object_path(bucket, name);
        fs::rename(&place, &commit)?;
        remove_empty_parents(&place, &self.objects_folder(bucket));
        self.remove_bytes(bucket, &stored.file);
        let _ = fs::remove_file(commit); // the next start would remove it
        let shelf = state.shelf_mut(bucket)?;
        shelf.objects.remove(name);
        shelf.owners.remove(&stored.file.to_lowercase());
        Ok(())
    }

    /// The objects of a bucket from `start` on, in the order of their names, as long as `visit` returns true.
    pub(crate) fn visit(&self, bucket: &str, start: &str, mut visit: impl FnMut(&Object) -> bool) -> ApiResult<()> {
        let state = self.state.lock();
        let shelf = state.shelf(bucket)?;
        for stored in shelf.objects.range::<str, _>((std::ops::Bound::Included(start), std::ops::Bound::Unbounded)) {
            if !visit(&stored.1.object) {
                break;
            }
        }
        Ok(())
    }

    fn free_file(&self, shelf: &Shelf, name: &str) -> String {
        let folder = self.root.join(&shelf.bucket.name);
        let is_free = |path: &String| {
            let lower = path.to_lowercase();
            let parents = lower.match_indices('/').map(|(at, _)| &lower[..at]);
            let owned =
                shelf.owners.contains_key(&lower) || parents.into_iter().any(|path| shelf.owners.contains_key(path));
            !owned && !folder.join(path).is_dir()
        };
        file_name::plain(name).filter(is_free).unwrap_or_else(|| file_name::flat(name))
    }

    fn commit(&self, commit: Commit) -> io::Result<()> {
        let path = self.commits().join(format!("{}.json", Uuid::new_v4()));
        write_json(&path, &commit)?;
        self.finish(&path, &commit)
    }

    /// The steps after the commit is written; each may have been done before.
    fn finish(&self, path: &Path, Commit { bytes, stored }: &Commit) -> io::Result<()> {
        let Object { bucket, name, .. } = &stored.object;
        if let Some(bytes) = bytes {
            let place = self.root.join(bucket).join(&stored.file);
            create_parent(&place)?;
            match fs::rename(self.uploads().join(bytes), place) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let _ = fs::remove_file(path); // nothing has changed yet
                    return Err(error);
                }
                _ => {}
            }
        }
        let place = self.object_path(bucket, name);
        create_parent(&place)?;
        fs::rename(path, place)
    }

    fn finish_commits(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.commits())? {
            let path = entry?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => self.finish(&path, &read_json(&path)?)?,
                Some("delete") => {
                    let Commit { stored, .. } = read_json(&path)?;
                    if !self.object_path(&stored.object.bucket, &stored.object.name).exists() {
                        self.remove_bytes(&stored.object.bucket, &stored.file);
                    }
                    fs::remove_file(path)?;
                }
                _ => fs::remove_file(path)?, // half written: its change was never answered
            }
        }
        Ok(())
    }

    fn load(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        for entry in fs::read_dir(self.root.join(".pipas/buckets"))? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let bucket: Bucket = read_json(&path)?;
            let mut shelf = Shelf { bucket, objects: BTreeMap::new(), owners: HashMap::new() };
            let mut folders = vec![self.objects_folder(&shelf.bucket.name)];
            while let Some(folder) = folders.pop() {
                for entry in fs::read_dir(folder)? {
                    let entry = entry?;
                    if entry.file_type()?.is_dir() {
                        folders.push(entry.path());
                        continue;
                    }
                    let Commit { stored, .. } = read_json(&entry.path())?;
                    state.last_generation = state.last_generation.max(stored.object.generation);
                    shelf.take(stored);
                }
            }
            state.buckets.insert(shelf.bucket.name.clone(), shelf);
        }
        Ok(())
    }

    /// Removes the bytes and the folders that they leave empty. A failure leaves garbage, nothing else.
    fn remove_bytes(&self, bucket: &str, file: &str) {
        let folder = self.root.join(bucket);
        let path = folder.join(file);
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "the bytes of a deleted object remain");
        }
        remove_empty_parents(&path, &folder);
    }

    fn commits(&self) -> PathBuf {
        self.root.join(".pipas/commits")
    }

    fn bucket_path(&self, bucket: &str) -> PathBuf {
        self.root.join(format!(".pipas/buckets/{bucket}.json"))
    }

    fn objects_folder(&self, bucket: &str) -> PathBuf {
        self.root.join(".pipas/objects").join(bucket)
    }

    fn object_path(&self, bucket: &str, name: &str) -> PathBuf {
        self.objects_folder(bucket).join(file_name::components(name))
    }
}

impl State {
    fn shelf(&self, bucket: &str) -> ApiResult<&Shelf> {
        self.buckets.get(bucket).ok_or_else(ApiError::no_bucket)
    }

    fn shelf_mut(&mut self, bucket: &str) -> ApiResult<&mut Shelf> {
        self.buckets.get_mut(bucket).ok_or_else(ApiError::no_bucket)
    }

    fn stored(&self, bucket: &str, name: &str, generation: Option<i64>) -> ApiResult<&Stored> {
        let stored = self.shelf(bucket)?.objects.get(name);
        stored
            .filter(|stored| generation.is_none_or(|generation| generation == stored.object.generation))
            .ok_or_else(|| ApiError::no_object(bucket, name))
    }

    /// Microseconds as the real service's, never twice the same.
    fn next_generation(&mut self, now: Timestamp) -> i64 {
        self.last_generation = now.as_microsecond().max(self.last_generation + 1);
        self.last_generation
    }
}

impl Shelf {
    fn take(&mut self, stored: Stored) {
        self.owners.insert(stored.file.to_lowercase(), stored.object.name.clone());
        self.objects.insert(stored.object.name.clone(), stored);
    }
}

fn check_replace(live: Option<&Stored>, preconditions: &Preconditions) -> ApiResult<()> {
    let live = live.map(|stored| &stored.object);
    preconditions.check_write(live)?;
    if live.is_some_and(|object| object.attributes.is_held()) { Err(held()) } else { Ok(()) }
}

fn held() -> ApiError {
    ApiError::forbidden("The object is under active hold and cannot be deleted or overwritten.")
}

fn remove_empty_parents(path: &Path, root: &Path) {
    for parent in path.ancestors().skip(1).take_while(|parent| *parent != root) {
        if fs::remove_dir(parent).is_err() {
            break;
        }
    }
}

fn create_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// Writes beside and renames, so that the file is whole or not there.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    fs::write(&beside, serde_json::to_vec(value)?)?;
    fs::rename(beside, path)
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let bytes = fs::read(path)?;
    serde_json::from_slice(&bytes).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}
