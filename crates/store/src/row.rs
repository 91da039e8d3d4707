//! Reading rows into words of the domain; what does not parse is a fault, never a guess.

use domain::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::StoreFault;
use crate::fault::damaged;

/// Typed access by column name.
pub(crate) trait Read {
    fn text(&self, column: &str) -> Result<String, StoreFault>;
    fn opt_text(&self, column: &str) -> Result<Option<String>, StoreFault>;
    fn bytes(&self, column: &str) -> Result<Vec<u8>, StoreFault>;
    fn int(&self, column: &str) -> Result<i64, StoreFault>;
    fn time(&self, column: &str) -> Result<Timestamp, StoreFault>;
    fn opt_time(&self, column: &str) -> Result<Option<Timestamp>, StoreFault>;

    /// An identifier or other value with a checked text form.
    fn parsed<T: TryFrom<String>>(&self, column: &str) -> Result<T, StoreFault> {
        T::try_from(self.text(column)?).map_err(damaged)
    }
}

impl Read for AnyRow {
    fn text(&self, column: &str) -> Result<String, StoreFault> {
        Ok(self.try_get(column)?)
    }

    fn opt_text(&self, column: &str) -> Result<Option<String>, StoreFault> {
        Ok(self.try_get(column)?)
    }

    fn bytes(&self, column: &str) -> Result<Vec<u8>, StoreFault> {
        Ok(self.try_get(column)?)
    }

    fn int(&self, column: &str) -> Result<i64, StoreFault> {
        Ok(self.try_get(column)?)
    }

    fn time(&self, column: &str) -> Result<Timestamp, StoreFault> {
        self.int(column).map(Timestamp::from_millis)
    }

    fn opt_time(&self, column: &str) -> Result<Option<Timestamp>, StoreFault> {
        let millis: Option<i64> = self.try_get(column)?;
        Ok(millis.map(Timestamp::from_millis))
    }
}
