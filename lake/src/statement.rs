//! How large a statement may be before it is planned.
//!
//! Planning can't be interrupted: its time grows with the square of a chain of operators and faster with joins (100 of them take ten seconds), and
//! its recursion with the length of the chain (8,000 terms overflow a stack of 8 MiB, which would end the process). So what nests is counted in the
//! statement's tokens first. Long lists do not nest and are only bounded by the statement's bytes.

use deltalake::datafusion::sql::sqlparser::{
    dialect::GenericDialect,
    keywords::Keyword,
    tokenizer::{Token, Tokenizer},
};

use crate::error::LakeError;

const MAX_OPERATORS: usize = 200;
const MAX_JOINS: usize = 16;
const MAX_SELECTS: usize = 32;

#[derive(Debug, Default, PartialEq, Eq)]
struct Size {
    operators: usize,
    joins: usize,
    selects: usize,
}

/// Refuses a statement that is too large to be planned in bounded time and stack.
pub(crate) fn check_size(sql: &str, max_bytes: usize) -> Result<(), LakeError> {
    within(sql.len(), max_bytes, "bytes")?;
    let size = size_of(sql)?;
    within(size.operators, MAX_OPERATORS, "operators")?;
    within(size.joins, MAX_JOINS, "joins")?;
    within(size.selects, MAX_SELECTS, "selects")
}

fn within(found: usize, max: usize, what: &str) -> Result<(), LakeError> {
    match found > max {
        true => Err(LakeError::Refused { reason: format!("the statement has {found} {what}, more than {max}") }),
        false => Ok(()),
    }
}

fn size_of(sql: &str) -> Result<Size, LakeError> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().map_err(|error| LakeError::Sql { message: error.to_string() })?;
    let mut size = Size::default();
    let mut in_from = false;
    for token in &tokens {
        match token {
            Token::Word(word) => match word.keyword {
                Keyword::SELECT | Keyword::VALUES => (size.selects, in_from) = (size.selects + 1, false),
                Keyword::FROM => in_from = true,
                Keyword::JOIN | Keyword::APPLY => size.joins += 1,
                Keyword::WHERE
                | Keyword::GROUP
                | Keyword::HAVING
                | Keyword::ORDER
                | Keyword::LIMIT
                | Keyword::QUALIFY
                | Keyword::WINDOW => in_from = false,
                Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::BETWEEN
                | Keyword::WHEN
                | Keyword::IN => {
                    size.operators += 1;
                }
                _ => {}
            },
            Token::Comma if in_from => size.joins += 1,
            Token::Comma
            | Token::Whitespace(_)
            | Token::EOF
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::LParen
            | Token::RParen
            | Token::Period
            | Token::SemiColon => {}
            // Everything else is an operator, or rare enough to be counted as one.
            _ => size.operators += 1,
        }
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nests_is_counted_and_lists_are_not() {
        let size = size_of("SELECT a + b * 2, c::text FROM t, u JOIN v ON t.x = v.x WHERE y IN (1, 2, 3) AND NOT z -- a, b, c").unwrap();
        assert_eq!(size, Size { operators: 7, joins: 2, selects: 1 });
        let size = size_of("SELECT f(a, b, c) FROM (SELECT a, b FROM t) s GROUP BY 1, 2 ORDER BY 1, 2").unwrap();
        assert_eq!(size, Size { operators: 0, joins: 0, selects: 2 });
    }

    #[test]
    fn a_statement_over_any_limit_is_refused_by_name_of_the_limit() {
        for (sql, wanted) in [
            (format!("SELECT 1{}", "+1".repeat(MAX_OPERATORS + 1)), "operators"),
            (format!("SELECT 1 FROM t{}", ", t".repeat(MAX_JOINS + 1)), "joins"),
            (format!("SELECT 1{}", " UNION SELECT 1".repeat(MAX_SELECTS)), "selects"),
            ("x".repeat(1_001), "bytes"),
        ] {
            let error = check_size(&sql, 1_000).unwrap_err();
            assert!(error.to_string().contains(wanted), "{error}");
        }
        assert!(check_size("SELECT 'open", 1_000).is_err());
    }
}
