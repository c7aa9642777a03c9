//! The questions of `docs/sql-cookbook.md`, read from the page, for tests and the benchmark.

const COOKBOOK: &str = include_str!("../../docs/sql-cookbook.md");

/// One question of the cookbook and its statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Its number, from 1.
    pub number: usize,
    /// The heading.
    pub title: &'static str,
    /// The statement, without a semicolon; values are psql variables like `:'team'`.
    pub sql: &'static str,
}

impl Question {
    /// Names of the values that the statement needs, in order, each once.
    pub fn parameters(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for part in self.sql.split(":'").skip(1) {
            let name = part.split('\'').next().unwrap_or_default();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The statement with its values, each as a quoted literal.
    ///
    /// # Errors
    /// The name of a value that is missing.
    pub fn with(&self, values: &[(&str, &str)]) -> Result<String, &'static str> {
        let mut sql = self.sql.to_string();
        for name in self.parameters() {
            let (_, value) = values.iter().find(|(given, _)| *given == name).ok_or(name)?;
            sql = sql.replace(&format!(":'{name}'"), &format!("'{}'", value.replace('\'', "''")));
        }
        Ok(sql)
    }
}

/// Every question, in order.
pub fn questions() -> Vec<Question> {
    let sections = COOKBOOK.split("\n## ").skip(1);
    sections.filter_map(read).collect()
}

/// `12. Title`, text, and one fenced block of SQL.
fn read(section: &'static str) -> Option<Question> {
    let (number, title) = section.lines().next()?.split_once(". ")?;
    let (_, fenced) = section.split_once("```sql\n")?;
    let (sql, _) = fenced.split_once("```")?;
    Some(Question { number: number.parse().ok()?, title, sql: sql.trim_end().trim_end_matches(';') })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_is_a_question_and_they_are_numbered_through() {
        let questions = questions();
        assert_eq!(questions.len(), COOKBOOK.matches("\n## ").count());
        assert_eq!(questions.len(), COOKBOOK.matches("```sql\n").count());
        assert!(questions.iter().zip(1..).all(|(q, number)| q.number == number));
    }

    #[test]
    fn values_are_put_in_as_literals() {
        let question = Question { number: 1, title: "t", sql: "SELECT :'a'::date, :'b', :'a'" };
        assert_eq!(question.parameters(), ["a", "b"]);
        let sql = question.with(&[("a", "2025-01-01"), ("b", "it's")]).expect("both given");
        assert_eq!(sql, "SELECT '2025-01-01'::date, 'it''s', '2025-01-01'");
        assert_eq!(question.with(&[("a", "x")]), Err("b"));
    }
}
