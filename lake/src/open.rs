//! From options to a running lake.

use std::{fs, io, path::Path, sync::Arc};

use parking_lot::{Mutex, RwLock};

use crate::{
    Inner,
    error::LakeError,
    hot::Intake,
    options::LakeOptions,
    schema::Table,
    session::Sessions,
    store::TableStore,
    view::{TableView, Views},
};

impl Inner {
    pub(crate) async fn open(options: LakeOptions) -> Result<Self, LakeError> {
        let no_folder = |source| LakeError::Io { path: options.root.clone(), source };
        fs::create_dir_all(&options.root).map_err(no_folder)?;
        let root = options.root.canonicalize().map_err(no_folder)?;
        // The folder's own entry; the tables sync what is below it.
        let parent = root.parent().unwrap_or(&root);
        fs::File::open(parent).and_then(|folder| folder.sync_all()).map_err(no_folder)?;
        let spill = root.join("spill");
        empty_folder(&spill).map_err(|source| LakeError::Io { path: spill.clone(), source })?;
        let sessions = Sessions::new(&options.sql, &spill)?;

        let (mut tables, mut views, mut intake) = (Vec::new(), Vec::new(), Intake::default());
        for table in Table::ALL {
            let (store, stored) = TableStore::open(&options, &root, table).await?;
            for (key, mark) in stored.ledger.marks() {
                intake.raise(table, key, mark);
            }
            tables.push(store);
            views.push(TableView::new(stored));
        }
        let Ok(views) = <[TableView; Table::ALL.len()]>::try_from(views) else { unreachable!("one view was made per table") };
        Ok(Self {
            tables,
            views: RwLock::new(Arc::new(Views { tables: views })),
            intake: Mutex::new(intake),
            sessions,
            committing: tokio::sync::Mutex::default(),
            compacting: tokio::sync::Mutex::default(),
            running_sql: Arc::new(tokio::sync::Semaphore::new(options.sql.max_running.max(1))),
            options,
        })
    }
}

fn empty_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::create_dir_all(folder),
    }
}
