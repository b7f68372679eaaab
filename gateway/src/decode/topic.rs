//! Topic templates: `{site}/{area}/{line}/{machine}/telemetry` names the machine of a message by its topic.
//!
//! Stands between the topic text of a message and its [`AssetPath`]. Invariant: a topic of a publisher is only text; `+` and `#` in it
//! never match as wildcards, and a placeholder only takes what an asset path may hold.

use protocol::{AssetPath, IdError};

/// Longest topic that is looked at.
pub const MAX_TOPIC_BYTES: usize = 1024;

/// A pattern of topic levels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    levels: Vec<Level>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    Literal(String),
    /// `{name}`: index of the captured value.
    Placeholder(String),
    /// `+`: any one level.
    Any,
    /// `#`: any further levels; only at the end.
    Rest,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("the template is empty; write for example \"{{site}}/{{area}}/{{line}}/{{machine}}/telemetry\"")]
    Empty,
    #[error("the template has {len} bytes, more than {MAX_TOPIC_BYTES}")]
    TooLong { len: usize },
    #[error("level {level:?} mixes text with braces or wildcards; a placeholder {{name}}, + or # takes a whole level")]
    MixedLevel { level: String },
    #[error("# may only be the last level")]
    RestNotLast,
    #[error("placeholder {{{name}}} occurs twice")]
    Twice { name: String },
    #[error("asset pattern {pattern:?} must have the four parts site/area/line/machine")]
    NotFourParts { pattern: String },
    #[error("asset pattern uses {{{name}}}, which the template does not hold")]
    Unknown { name: String },
    #[error("asset pattern may not hold wildcards")]
    Wildcard,
    #[error(transparent)]
    Id(#[from] IdError),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`] tells the rule that is broken.
    pub fn new(text: &str) -> Result<Self, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::Empty);
        }
        if text.len() > MAX_TOPIC_BYTES {
            return Err(TemplateError::TooLong { len: text.len() });
        }
        let levels = text.split('/').map(Level::new).collect::<Result<Vec<_>, _>>()?;
        if levels[..levels.len() - 1].contains(&Level::Rest) {
            return Err(TemplateError::RestNotLast);
        }
        let template = Self { text: text.into(), levels };
        let mut names: Vec<&str> = template.placeholders().collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|w| w[0] == w[1]) {
            return Err(TemplateError::Twice { name: twice[0].into() });
        }
        Ok(template)
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Names of the placeholders, in order.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.levels.iter().filter_map(|level| match level {
            Level::Placeholder(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The MQTT subscription filter that covers the template.
    pub fn filter(&self) -> String {
        let levels: Vec<&str> = self
            .levels
            .iter()
            .map(|level| match level {
                Level::Literal(text) => text.as_str(),
                Level::Placeholder(_) | Level::Any => "+",
                Level::Rest => "#",
            })
            .collect();
        levels.join("/")
    }

    /// The values of the placeholders if `topic` has this shape.
    pub fn captures<'a>(&'a self, topic: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
        if topic.len() > MAX_TOPIC_BYTES || topic.contains(['+', '#', '\0']) {
            return None;
        }
        let mut captured = Vec::new();
        let mut parts = topic.split('/');
        for level in &self.levels {
            if *level == Level::Rest {
                return Some(captured);
            }
            let part = parts.next()?;
            match level {
                Level::Literal(text) if text != part => return None,
                Level::Placeholder(_) if part.is_empty() => return None,
                Level::Placeholder(name) => captured.push((name.as_str(), part)),
                _ => {}
            }
        }
        parts.next().is_none().then_some(captured)
    }
}

impl Level {
    fn new(text: &str) -> Result<Self, TemplateError> {
        match text {
            "+" => return Ok(Self::Any),
            "#" => return Ok(Self::Rest),
            _ => {}
        }
        if let Some(name) = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
            let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            return if plain { Ok(Self::Placeholder(name.into())) } else { Err(TemplateError::MixedLevel { level: text.into() }) };
        }
        if text.contains(['{', '}', '+', '#', '\0']) {
            return Err(TemplateError::MixedLevel { level: text.into() });
        }
        Ok(Self::Literal(text.into()))
    }
}

/// An asset path whose parts may be placeholders: `plant1/press-shop/line2/{machine}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetPattern(Template);

impl AssetPattern {
    /// What a topic's `asset` is when it isn't set.
    pub const DEFAULT: &'static str = "{site}/{area}/{line}/{machine}";

    /// Reads a pattern over the placeholders of `template`.
    ///
    /// # Errors
    /// [`TemplateError`] tells the rule that is broken.
    pub fn new(text: &str, template: &Template) -> Result<Self, TemplateError> {
        let pattern = Template::new(text)?;
        if pattern.levels.len() != 4 {
            return Err(TemplateError::NotFourParts { pattern: text.into() });
        }
        if pattern.levels.iter().any(|l| matches!(l, Level::Any | Level::Rest)) {
            return Err(TemplateError::Wildcard);
        }
        if let Some(unknown) = pattern.placeholders().find(|name| !template.placeholders().any(|n| n == *name)) {
            return Err(TemplateError::Unknown { name: unknown.into() });
        }
        let pattern = Self(pattern);
        let probe: Vec<(&str, &str)> = pattern.0.placeholders().map(|name| (name, "x")).collect();
        pattern.asset(&probe)?;
        Ok(pattern)
    }

    /// The asset of a message with these captures.
    ///
    /// # Errors
    /// [`IdError`] if a captured value may not be a part of an asset path.
    pub fn asset(&self, captures: &[(&str, &str)]) -> Result<AssetPath, IdError> {
        let value = |name: &str| captures.iter().find(|(n, _)| *n == name).map_or("", |(_, v)| v);
        let parts: Vec<&str> = self
            .0
            .levels
            .iter()
            .map(|level| match level {
                Level::Placeholder(name) => value(name),
                Level::Literal(text) => text.as_str(),
                Level::Any | Level::Rest => "",
            })
            .collect();
        AssetPath::new(&parts.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        Template::new(text).unwrap()
    }

    #[test]
    fn topic_of_the_shape_names_its_machine() {
        let template = template("{site}/{area}/{line}/{machine}/telemetry");
        let pattern = AssetPattern::new(AssetPattern::DEFAULT, &template).unwrap();
        let captures = template.captures("plant1/press-shop/line2/press-7/telemetry").unwrap();
        assert_eq!(pattern.asset(&captures).unwrap().as_str(), "plant1/press-shop/line2/press-7");
        assert_eq!(template.filter(), "+/+/+/+/telemetry");
        for other in ["plant1/press-shop/line2/press-7", "plant1/press-shop/line2/press-7/telemetry/x", "a/b/c/d/e", "", "////telemetry"] {
            assert_eq!(template.captures(other), None, "{other}");
        }
    }

    #[test]
    fn wildcards_in_a_published_topic_match_nothing() {
        let any = template("{site}/#");
        for topic in ["+/a", "a/+", "#", "a/#", "a+b/c", "a/\0"] {
            assert_eq!(any.captures(topic), None, "{topic}");
        }
        assert!(any.captures("a/b/c/d/e/f").is_some());
        assert!(any.captures("a").is_some(), "# also covers no further level");
    }

    #[test]
    fn fixed_parts_stand_in_for_levels_that_the_topic_lacks() {
        let short = template("sensors/{machine}/{signal}");
        let pattern = AssetPattern::new("plant1/hall/line1/{machine}", &short).unwrap();
        let captures = short.captures("sensors/saw-1/temperature").unwrap();
        assert_eq!(pattern.asset(&captures).unwrap().as_str(), "plant1/hall/line1/saw-1");
        let bad = short.captures("sensors/saw 1/temperature").unwrap();
        assert!(matches!(pattern.asset(&bad), Err(IdError::BadCharacter { .. })));
    }

    #[test]
    fn wrong_templates_name_their_fault() {
        assert_eq!(Template::new(""), Err(TemplateError::Empty));
        assert_eq!(Template::new("a/#/b"), Err(TemplateError::RestNotLast));
        assert_eq!(Template::new("a-{machine}/b"), Err(TemplateError::MixedLevel { level: "a-{machine}".into() }));
        assert_eq!(Template::new("{m}/{m}"), Err(TemplateError::Twice { name: "m".into() }));
        let two = template("{site}/{machine}");
        assert_eq!(AssetPattern::new(AssetPattern::DEFAULT, &two), Err(TemplateError::Unknown { name: "area".into() }));
        assert!(matches!(AssetPattern::new("a/b", &two), Err(TemplateError::NotFourParts { .. })));
        assert!(matches!(AssetPattern::new("a b/c/d/{machine}", &two), Err(TemplateError::Id(_))));
    }
}
