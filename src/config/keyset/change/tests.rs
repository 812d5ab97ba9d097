//! What a change of the keyset leaves, whatever lies around the file, and that two changes never overlap.

use std::fs::{create_dir, read_dir, read_to_string, set_permissions, write};
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::super::read_keyset;
use super::*;

fn new() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keyset.json");
    create_keyset(&path, &Keyset::first([7; 32])).unwrap();
    (folder, path)
}

fn rotate(path: &Path) -> Result<()> {
    let (change, mut keyset) = KeysetChange::begin(path)?;
    keyset.rotate([8; 32]).unwrap();
    change.finish(&keyset)
}

fn active(path: &Path) -> u8 {
    read_keyset(path).unwrap_or_else(|failure| panic!("{failure}")).active()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

fn names(folder: &Path) -> Vec<String> {
    let entries = read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_new_keyset_is_its_owners_and_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/keyset.json");
    create_keyset(&path, &Keyset::first([7; 32])).unwrap();
    assert_eq!((mode(&path), active(&path)), (0o600, 1));
    assert_eq!(mode(path.parent().unwrap()) & 0o027, 0, "others can't pass");

    let before = read_to_string(&path).unwrap();
    let failure = create_keyset(&path, &Keyset::first([8; 32])).unwrap_err();
    assert!(failure.message.contains("a keyset exists and was not changed"), "{failure}");
    assert_eq!(read_to_string(&path).unwrap(), before);
    assert_eq!(names(path.parent().unwrap()), ["keyset.json"], "no draft is left");
}

#[test]
fn a_link_that_was_planted_is_neither_followed_nor_replaced_by_a_new_keyset() {
    let folder = tempfile::tempdir().unwrap();
    let (path, elsewhere) = (folder.path().join("keyset.json"), folder.path().join("elsewhere"));
    symlink(&elsewhere, &path).unwrap();
    assert!(create_keyset(&path, &Keyset::first([7; 32])).is_err());
    assert!(!elsewhere.exists());
}

#[test]
fn a_rotation_follows_no_planted_link_and_takes_over_no_planted_file() {
    let (folder, path) = new();
    let victim = folder.path().join("victim");
    write(&victim, "untouched").unwrap();
    symlink(&victim, folder.path().join("keyset.next")).unwrap();
    set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    rotate(&path).unwrap();
    assert_eq!(read_to_string(&victim).unwrap(), "untouched");
    assert_eq!((active(&path), mode(&path)), (2, 0o640));

    std::fs::remove_file(folder.path().join("keyset.next")).unwrap();
    write(folder.path().join("keyset.next"), "planted").unwrap();
    set_permissions(folder.path().join("keyset.next"), Permissions::from_mode(0o666)).unwrap();
    rotate(&path).unwrap();
    assert_eq!((active(&path), mode(&path)), (3, 0o640), "the file's own permissions");
    assert_eq!(names(folder.path()), ["keyset.json", "keyset.next", "victim"], "no draft is left");
}

#[test]
fn permissions_are_kept() {
    let (_folder, path) = new();
    for kept in [0o600, 0o400, 0o640, 0o440] {
        set_permissions(&path, Permissions::from_mode(kept)).unwrap();
        rotate(&path).unwrap();
        assert_eq!(mode(&path), kept, "{kept:o}");
    }
}

#[test]
fn the_target_of_a_link_is_changed_and_the_link_stays() {
    let (folder, _) = new();
    let (shared, link) = (folder.path().join("shared"), folder.path().join("link.json"));
    create_dir(&shared).unwrap();
    std::fs::rename(folder.path().join("keyset.json"), shared.join("real.json")).unwrap();
    symlink("shared/real.json", folder.path().join("middle.json")).unwrap();
    symlink("middle.json", &link).unwrap();
    rotate(&link).unwrap();
    assert!(link.is_symlink());
    assert_eq!(active(&shared.join("real.json")), 2);
    assert_eq!(names(&shared), ["real.json"]);
}

#[test]
fn a_mounted_secret_is_refused_with_what_to_do_and_stays_as_it_is() {
    let (folder, path) = new();
    let generation = folder.path().join("..2026_11_22_09_00_00.123456789");
    create_dir(&generation).unwrap();
    std::fs::rename(&path, generation.join("keyset.json")).unwrap();
    symlink("..2026_11_22_09_00_00.123456789", folder.path().join("..data")).unwrap();
    symlink("..data/keyset.json", &path).unwrap();
    let failure = rotate(&path).unwrap_err();
    assert!(failure.message.contains("Kubernetes secret"), "{failure}");
    assert!(failure.message.contains("ASSENT__KEYSET"), "{failure}");
    assert_eq!(active(&path), 1);
    assert_eq!(names(&generation), ["keyset.json"]);
}

#[test]
fn two_changes_do_not_run_at_once() {
    let (_folder, path) = new();
    let (first, mut keyset) = KeysetChange::begin(&path).ok().unwrap();
    let failure = rotate(&path).unwrap_err();
    assert!(failure.message.contains("another command is changing this keyset"), "{failure}");
    keyset.rotate([9; 32]).unwrap();
    first.finish(&keyset).unwrap();
    rotate(&path).unwrap();
    assert_eq!(active(&path), 3, "both are in the file");
}

#[test]
fn a_file_that_was_replaced_meanwhile_is_left_as_it_is() {
    let (folder, path) = new();
    let (change, mut keyset) = KeysetChange::begin(&path).ok().unwrap();
    keyset.rotate([9; 32]).unwrap();
    let other = folder.path().join("other.json");
    create_keyset(&other, &Keyset::first([1; 32])).unwrap();
    std::fs::rename(&other, &path).unwrap();
    let theirs = read_to_string(&path).unwrap();
    assert!(change.finish(&keyset).is_err());
    assert_eq!(read_to_string(&path).unwrap(), theirs);
    assert_eq!(names(folder.path()), ["keyset.json"]);
}

#[test]
fn a_change_that_is_given_up_leaves_the_file_as_it_was() {
    let (folder, path) = new();
    let before = read_to_string(&path).unwrap();
    drop(KeysetChange::begin(&path).ok().unwrap());
    assert_eq!(read_to_string(&path).unwrap(), before);
    assert_eq!(names(folder.path()), ["keyset.json"]);
}
