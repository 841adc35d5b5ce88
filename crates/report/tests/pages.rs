//! Properties of whole pages: they are self-contained, and hold no markup from the data and no NaN.

mod sample;

use proptest::prelude::*;
use selfsame_report::{
    Cell, Chart, Claim, ClaimOutcome, Line, ReportError, RunReport, Study, Table, comparison, page,
    study,
};

fn small() -> RunReport {
    sample::run("BYOL", "small", 0.9, 300, 1)
}

/// Values of all attributes named `name`.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    html.split(&start).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

fn check(html: &str) {
    for name in ["d", "style", "data-x", "data-y", "data-at", "viewBox", "width", "height"] {
        for value in attributes(html, name) {
            assert!(!value.contains("NaN") && !value.contains("inf"), "{name}={value}");
        }
    }
    let outside = html.replace("xmlns='http://www.w3.org/2000/svg'", "");
    assert!(!outside.contains("http://") && !outside.contains("https://"));
    for image in html.split("<img ").skip(1) {
        let tag = image.split('>').next().unwrap();
        assert!(tag.contains("src=\"data:image/png;base64,") && tag.contains(" alt=\""));
    }
    // One script, ours; nothing from elsewhere.
    assert_eq!(html.matches("<script").count(), 1);
    assert!(!html.contains("<link rel=\"stylesheet") && !html.contains("@import"));
}

#[test]
fn a_page_shows_every_part_and_needs_nothing_else() {
    let html = page(&small()).unwrap();
    check(&html);
    let sections = [
        "Evaluation",
        "Training",
        "Training views",
        "Nearest neighbours",
        "Maps",
        "Correlation",
        "Use",
        "Settings",
        "Machine",
    ];
    for section in sections {
        assert!(html.contains(&format!(">{section}</h2>")), "{section}");
    }
    assert_eq!(html.matches("class=\"chart").count(), 4);
    assert_eq!(html.matches("class=\"map\"").count(), 2);
    assert_eq!(html.matches("<img ").count(), 2);
    // The sprite once, however many tiles there are.
    assert_eq!(html.matches("background-image:url(").count(), 1);
}

#[test]
fn an_empty_report_is_a_page() {
    check(&page(&RunReport::default()).unwrap());
    check(&comparison(&[RunReport::default()]).unwrap());
    assert!(matches!(comparison(&[]), Err(ReportError::NoRuns)));
}

#[test]
fn a_comparison_overlays_what_has_one_title_and_takes_missing_parts() {
    let mut other = sample::run("Barlow Twins", "small", 0.4, 300, 2);
    other.tables.clear();
    other.charts.remove(0);
    other.verdict = None;
    let html = comparison(&[small(), other, RunReport::default()]).unwrap();
    check(&html);
    // Loss, k-NN, and one each for the two collapse signals and the spectra before and after.
    assert_eq!(html.matches("class=\"chart").count(), 6);
    // Equal names get different labels.
    assert!(html.contains("small (2)"));
    // Both runs show the same pictures, which stand in the page once.
    assert_eq!(html.matches("background-image:url(").count(), 1);
    assert!(html.contains("<code>train.learning_rate</code>"));
    assert!(!html.contains("<code>train.epochs</code>"));
}

/// A legend explains what is on the page, and nothing else.
#[test]
fn crosses_are_explained_only_where_there_are_some() {
    const KEY: &str = "a cross marks a neighbour of another class";
    assert!(page(&small()).unwrap().contains(KEY));
    let mut unlabelled = small();
    for row in unlabelled.galleries.iter_mut().flat_map(|gallery| &mut gallery.rows) {
        row.query_label = None;
        row.neighbours.iter_mut().for_each(|neighbour| neighbour.label = None);
    }
    assert!(!page(&unlabelled).unwrap().contains(KEY));
    assert!(!comparison(&[unlabelled.clone(), unlabelled]).unwrap().contains(KEY));
}

/// Maps may have pictures of their own, of another kind of file.
#[test]
fn maps_show_their_own_pictures_where_they_have_some() {
    let mut run = small();
    let mut own = run.sprite.clone().unwrap();
    // The header of a JPEG of 896 × 280 pixels, as large as the PNG. Only the header is read.
    own.picture = vec![0xff, 0xd8, 0xff, 0xc0, 0, 17, 8, 1, 24, 3, 128];
    run.map_sprite = Some(own);
    let html = page(&run).unwrap();
    check(&html);
    assert_eq!(html.matches("background-image:url(data:image/png").count(), 1);
    assert_eq!(html.matches("background-image:url(data:image/jpeg").count(), 1);
    assert!(html.contains("class=\"map\" data-tile=\"m0\""));
    // A gallery's picture has nothing to do with a map's.
    let both = comparison(&[run.clone(), small(), run]).unwrap();
    assert_eq!(both.matches("background-image:url(").count(), 2);
}

/// What `report.json` was before pictures could be JPEGs and maps had their own.
#[test]
fn an_older_report_is_read() {
    let mut run = small();
    (run.views, run.command) = (None, String::new());
    run.snippets.clear();
    let text = run.to_json().unwrap();
    let mut old: serde_json::Value = serde_json::from_str(&text).unwrap();
    for added in ["views", "map_sprite", "command", "snippets"] {
        assert!(old.as_object_mut().unwrap().remove(added).is_some(), "{added}");
    }
    let sprite = old["sprite"].as_object_mut().unwrap();
    let picture = sprite.remove("picture").unwrap();
    sprite.insert("png".into(), picture);
    assert!(RunReport::from_json(&old.to_string()).unwrap() == run);
}

#[test]
fn json_gives_back_the_report() {
    let run = small();
    // Without printing megabytes where they differ.
    assert!(RunReport::from_json(&run.to_json().unwrap()).unwrap() == run);
}

#[test]
fn a_run_that_diverged_is_written_and_read() {
    let mut run = small();
    run.charts[0].lines[0].points[700][1] = f64::NAN;
    run.charts[0].lines[0].points[701][1] = f64::INFINITY;
    run.heatmaps[0].values[5] = f32::NAN;
    run.maps[0].points[3] = [f32::NAN, 1.0];
    run.tables[0].rows[0][1].interval = Some([f64::NAN; 3]);
    run.galleries[0].rows[0].neighbours[0].similarity = f32::NAN;
    let again = RunReport::from_json(&run.to_json().unwrap()).unwrap();
    let html = page(&again).unwrap();
    check(&html);
    assert_eq!(html, page(&run).unwrap());
    assert!(html.contains("2 values are no finite number and left out."));
}

#[test]
fn indices_beyond_everything_show_empty_tiles() {
    let mut run = small();
    run.maps[0].images[0] = u32::MAX;
    run.maps[0].classes[0] = Some(u32::MAX);
    run.galleries[0].rows[0].query = u32::MAX;
    run.galleries[0].rows[0].query_label = Some(u32::MAX);
    run.galleries[0].rows[0].neighbours[0].image = 300;
    let html = page(&run).unwrap();
    check(&html);
    assert!(html.contains("Query: class 4294967295, no picture"));
    assert_eq!(html.matches("class=\"tile empty").count(), 2);
    check(&comparison(&[run, small()]).unwrap());
}

#[test]
fn lists_that_contradict_each_other_are_errors() {
    let mut run = small();
    run.maps[0].classes.pop();
    assert!(matches!(page(&run), Err(ReportError::Map { classes: 299, .. })));
    let mut run = small();
    run.heatmaps[1].rows = usize::MAX;
    assert!(matches!(page(&run), Err(ReportError::Heatmap { .. })));
    assert!(matches!(comparison(&[run]), Err(ReportError::Heatmap { .. })));
    for (tile, columns, count) in
        [(0, 1, 1), (28, 0, 1), (u32::MAX, u32::MAX, u32::MAX), (28, 32, 321)]
    {
        let mut run = small();
        if let Some(sprite) = &mut run.sprite {
            (sprite.tile, sprite.columns, sprite.count) = (tile, columns, count);
        }
        assert!(matches!(page(&run), Err(ReportError::Sprite(_))), "{tile} {columns} {count}");
    }
    let mut run = small();
    if let Some(sprite) = &mut run.sprite {
        sprite.picture.truncate(20);
    }
    assert!(matches!(page(&run), Err(ReportError::Sprite(_))));
    for text in [
        "",
        "[]x",
        "{\"title\": 3}",
        "{\"sprite\": {\"png\": \"?\", \"tile\": 1, \"columns\": 1, \"count\": 1}}",
    ] {
        assert!(matches!(RunReport::from_json(text), Err(ReportError::Json(_))), "{text}");
    }
}

/// Puts `text` in every text of the report.
fn everywhere(run: &mut RunReport, text: &str) {
    let hostile = || text.to_string();
    run.command = hostile();
    for snippet in &mut run.snippets {
        (snippet.title, snippet.code) = (hostile(), hostile());
    }
    if let Some(sheet) = &mut run.views {
        sheet.caption = hostile();
    }
    (run.title, run.name, run.settings) = (hostile(), hostile(), format!("a = 1\n{text}"));
    run.class_names = vec![hostile(); 10];
    run.machine = vec![(hostile(), hostile())];
    for figure in &mut run.figures {
        (figure.name, figure.value, figure.note) = (hostile(), hostile(), hostile());
    }
    if let Some(verdict) = &mut run.verdict {
        verdict.headline = hostile();
        for finding in &mut verdict.findings {
            (finding.text, finding.advice) = (hostile(), Some(hostile()));
        }
    }
    for table in &mut run.tables {
        (table.title, table.caption) = (hostile(), hostile());
        table.header = vec![hostile(); 3];
        table.rows = vec![vec![Cell::from(text); 4]];
    }
    for chart in &mut run.charts {
        (chart.title, chart.caption) = (hostile(), hostile());
        (chart.x_label, chart.y_label) = (hostile(), hostile());
        for line in &mut chart.lines {
            line.name = hostile();
        }
    }
    for gallery in &mut run.galleries {
        (gallery.title, gallery.caption) = (hostile(), hostile());
    }
    for map in &mut run.maps {
        (map.title, map.caption) = (hostile(), hostile());
    }
    for heatmap in &mut run.heatmaps {
        (heatmap.title, heatmap.caption) = (hostile(), hostile());
    }
}

/// Every start of a tag, in order: the structure of the HTML.
fn tags(html: &str) -> Vec<&str> {
    html.split('<')
        .skip(1)
        .map(|t| t.split(|c: char| c.is_whitespace() || c == '>').next().unwrap_or(""))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn text_never_becomes_markup(noise in "[<>\"'&/a-z\\u{0}\\n]{0,12}") {
        let mut run = sample::run("BYOL", "x", 0.9, 60, 1);
        let mut plain = run.clone();
        everywhere(&mut run, &format!("{noise}<script>alert('1')</script>\"><img src=x onerror='a'>{noise}"));
        everywhere(&mut plain, "plain text of a report");
        for (html, plain) in [
            (page(&run).unwrap(), page(&plain).unwrap()),
            (comparison(&[run.clone(), run]).unwrap(), comparison(&[plain.clone(), plain]).unwrap()),
        ] {
            prop_assert_eq!(html.matches("<script").count(), 1);
            prop_assert!(!html.contains("<img src=x"));
            // Long names move from a line's end into the legend only, and settings may begin a
            // table or a comment, so those tags may differ in number; no others.
            let structure = |html: &str| -> Vec<String> {
                tags(html).into_iter().filter(|t| !matches!(*t, "span" | "/span" | "pre" | "/pre" | "i" | "/i" | "b" | "/b")).map(String::from).collect()
            };
            prop_assert_eq!(structure(&html), structure(&plain));
        }
    }

    #[test]
    fn any_numbers_make_finite_pages(
        points in prop::collection::vec(prop::array::uniform2(prop::num::f64::ANY), 0..20),
        log_y in any::<bool>(),
        flat in prop::collection::vec(prop::array::uniform2(prop::num::f32::ANY), 0..20),
        interval in prop::array::uniform3(prop::num::f64::ANY),
        values in prop::collection::vec(prop::num::f32::ANY, 9),
    ) {
        let mut run = sample::run("BYOL", "x", 0.9, 60, 1);
        run.charts[0].log_y = log_y;
        run.charts[0].lines = vec![Line::measured("any", points)];
        run.maps[0].points = flat;
        run.maps[0].classes = vec![];
        run.maps[0].images = vec![];
        run.tables[0].rows[0][1].interval = Some(interval);
        (run.heatmaps[0].rows, run.heatmaps[0].columns, run.heatmaps[0].values) = (3, 3, values);
        check(&page(&run).unwrap());
        let again = RunReport::from_json(&run.to_json().unwrap()).unwrap();
        check(&comparison(&[again]).unwrap());
    }
}

/// A study with `text` wherever text can be.
fn studied(text: &str) -> Study {
    let claim = |outcome| Claim { text: text.into(), outcome, evidence: text.into() };
    let points = vec![[32.0, 70.0], [64.0, 75.0], [256.0, 77.0]];
    let ranges = vec![[69.0, 71.0], [74.0, f64::NAN], [78.0, 76.0]];
    Study {
        title: text.into(),
        name: text.into(),
        command: text.into(),
        lead: vec![text.into(), text.into()],
        claims: [ClaimOutcome::Seen, ClaimOutcome::NotSeen, ClaimOutcome::Undecided]
            .map(claim)
            .to_vec(),
        legend: format!("{text} means"),
        tables: vec![Table {
            title: text.into(),
            caption: text.into(),
            header: vec![text.into(), text.into()],
            rows: vec![vec![Cell::from(text), Cell::from(text)]],
        }],
        charts: vec![Chart {
            title: text.into(),
            caption: text.into(),
            x_label: text.into(),
            y_label: text.into(),
            log_x: true,
            lines: vec![
                Line { ranges, ..Line::measured(text, points.clone()) },
                Line::baseline(text, points),
            ],
            ..Chart::default()
        }],
        machine: vec![(text.into(), text.into())],
        settings: text.into(),
    }
}

#[test]
fn a_study_shows_its_answer_claims_figures_and_curves() {
    let html = study(&studied("plain")).unwrap();
    check(&html);
    for section in ["Claims", "Figures", "Curves", "Settings", "Machine"] {
        assert!(html.contains(&format!(">{section}</h2>")), "{section}");
    }
    for word in [">seen<", "not seen<", "undecided<"] {
        assert!(html.replace("/svg>", "/svg>>").contains(word), "{word}");
    }
    assert!(html.contains(">plain means</p>"));
    // One of three ranges is drawn: the others are NaN and upside down.
    let whiskers = html.split("class=\"whisker").nth(1).unwrap().split("/>").next().unwrap();
    assert_eq!(whiskers.matches('V').count(), 1, "{whiskers}");
    check(&study(&Study::default()).unwrap());
}

#[test]
fn a_study_is_the_same_after_json() {
    let mut own = studied("plain");
    own.charts[0].lines[0].ranges.truncate(1);
    assert_eq!(Study::from_json(&own.to_json().unwrap()).unwrap(), own);
    assert_eq!(Study::from_json("{}").unwrap(), Study::default());
}

#[test]
fn a_study_with_too_many_parts_is_refused() {
    let claim = Claim { text: "x".into(), outcome: ClaimOutcome::Seen, evidence: String::new() };
    let claims = Study { claims: vec![claim; 1001], ..Study::default() };
    assert!(matches!(study(&claims), Err(ReportError::TooMany { count: 1001, .. })));
    let tables = vec![Table { rows: vec![vec![]; 2001], ..Table::default() }];
    let tables = Study { tables, ..Study::default() };
    assert!(matches!(study(&tables), Err(ReportError::TooMany { most: 2000, .. })));
}

proptest! {
    #[test]
    fn markup_in_a_study_is_text(text in "[<>&\"'/a-z ]{0,20}") {
        let html = study(&studied(&format!("<script>{text}</script>"))).unwrap();
        check(&html);
        let svg = studied(&format!("<b>{text}")).charts[0].to_svg();
        prop_assert!(!svg.contains("<b>"));
        let marked = studied(&format!("<b>{text}"));
        // Only the command, in its block of code, stands as it is.
        let outside = marked.to_markdown().replacen(&marked.command, "", 1);
        prop_assert!(!outside.contains("<b>"), "{outside}");
    }
}
