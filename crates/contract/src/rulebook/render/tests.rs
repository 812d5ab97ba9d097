//! What the document must say of a rulebook, in both forms.

use super::*;
use crate::domain::gate::table::LINES;
use crate::rulebook::compile;

const SHIPPED: &str = include_str!("../../../../../rules/children-retail.yaml");

fn shipped(format: Format) -> String {
    render(&compile(SHIPPED.as_bytes()).expect("the shipped rulebook"), format)
}

/// The text of a page, without its markup and style.
fn text_of(page: &str) -> String {
    let body = page.split_once("</head>").expect("a head").1;
    let mut text = String::new();
    for part in body.split('<').skip(1) {
        text.push_str(part.split_once('>').expect("a whole tag").1);
        text.push(' ');
    }
    text.replace("&quot;", "\"").replace("&#39;", "'").replace("&gt;", ">").replace("&lt;", "<")
}

#[test]
fn every_part_of_section_6_is_there() {
    let markdown = shipped(Format::Markdown);
    for expected in [
        "# Rulebook 2026-11-22\n",
        "| `partner-advertising` | Advertising with partners | yes | required | no | 30 days |",
        "- **Default segment**: `all-visitors`",
        "### Looks at preschool toys (`preschool-explorers`)",
        "- **Why**: Show the preschool landing page first",
        "- **Owner**: marketing@shop.example",
        "- **In it while**: at least 3 product views in category “preschool-toys”, within the last 7 days",
        "  - the region of the latest click with a region, within the last 90 days, is “US-CA”, \
         “US-OR” or “US-WA”",
        "| `gpc` | the gate's line 6 |",
        "| `value_cents` | segment `loyal-families` | Offer free shipping |",
        "Not read, and not even decoded: `event_id`, and every field",
        "| `clickstream` | `kind` | `cart-waiting` | `segments.personalized-offers` | marketing |",
        "| `consent-changelog` | `age_band` | `teen-catalog` | `segments.partner-advertising` | marketing |",
        "| `product_age_range` | `preschool-page` | `contextual-segments` | the shop's front end |",
        "775 days",
    ] {
        assert!(markdown.contains(expected), "{expected} is missing in:\n{markdown}");
    }
    for approach in ["behavioral", "demographic", "hybrid", "contextual"] {
        assert!(markdown.contains(&format!("| {approach} | ")), "{approach}");
    }
}

#[test]
fn a_minimum_audience_is_told_where_there_is_one() {
    let with = SHIPPED.replacen("retention: 90d", "retention: 90d\n    min_members: 50", 1);
    let document = |text: &str| render(&compile(text.as_bytes()).unwrap(), Format::Markdown);
    let told = document(&with);
    assert!(told.contains("Minimum audience") && told.contains("50 subjects"), "{told}");
    assert!(told.contains("it is no anonymity"), "{told}");
    assert!(!document(SHIPPED).contains("Minimum audience"));
}

#[test]
fn sections_are_numbered_and_every_reference_to_one_resolves() {
    let (markdown, page) = (shipped(Format::Markdown), shipped(Format::Html));
    let headings: Vec<&str> = markdown.lines().filter_map(|it| it.strip_prefix("## ")).collect();
    for (at, heading) in headings.iter().enumerate() {
        assert!(heading.starts_with(&format!("{}. ", at + 1)), "{heading}");
        assert!(page.contains(&format!(">{heading}</h2>")), "{heading}");
    }
    let references = markdown.matches('§').count();
    assert!(references >= 8, "{references}");
    for reference in markdown.split("[§").skip(1) {
        let (number, rest) = reference.split_once("](#").expect("a link");
        let heading = headings[number.parse::<usize>().expect("a number") - 1];
        let anchor = heading.to_lowercase().replace(' ', "-").replace([':', '.', ','], "");
        assert!(rest.starts_with(&format!("{anchor})")), "§{number} leads to {rest:.60}");
    }
    assert_eq!(page.matches('§').count(), references);
    for target in page.split("href=\"#").skip(1) {
        let (anchor, _) = target.split_once('"').expect("an end");
        assert_eq!(page.matches(&format!("<h2 id=\"{anchor}\">")).count(), 1, "{anchor}");
    }
}

/// docs/verify.md says what `assent verify` finds; the document must not promise more.
#[test]
fn nothing_is_claimed_of_the_audit_that_verify_does_not_do() {
    let text = shipped(Format::Markdown).to_lowercase();
    for claim in
        ["nobody can alter", "unseen", "tamper-proof", "very good", "| full", "can be recomputed"]
    {
        assert!(!text.contains(claim), "{claim}");
    }
    for limit in
        ["as far as docs/verify.md says", "does not count them again", "in their form only"]
    {
        assert!(text.contains(limit), "{limit}");
    }
}

#[test]
fn the_gates_table_is_whole_in_both_forms() {
    let (markdown, page) = (shipped(Format::Markdown), text_of(&shipped(Format::Html)));
    for line in &LINES {
        let row = format!("| {} | {} | ", line.number, line.when);
        assert!(markdown.contains(&row), "{row}");
        assert!(markdown.contains(line.why) && page.contains(line.why), "{}", line.why);
        assert!(page.contains(line.when), "{}", line.when);
        for verdict in line.verdicts {
            assert!(page.contains(verdict.symbol()), "{verdict:?}");
        }
    }
}

#[test]
fn both_forms_name_the_version_and_the_hash() {
    let rulebook = compile(SHIPPED.as_bytes()).expect("the shipped rulebook");
    let hash = rulebook.sha256_hex();
    assert_eq!(hash.len(), 64);
    for format in [Format::Markdown, Format::Html] {
        let document = render(&rulebook, format);
        assert!(document.contains(&hash) && document.contains("2026-11-22"));
    }
}

#[test]
fn nothing_that_a_rulebook_wrote_becomes_markup() {
    let yaml = "rulebook: '<b>1</b>'\ndefault_segment: all\npurposes: []\nsegments:\n- {id: a, title: \
                '</title><script>x</script>', why: 'a | b', owner: '**o** `c`', approach: contextual, \
                when: {page: {category: '<img>|'}}}\n";
    let rulebook = compile(yaml.as_bytes()).expect("a rulebook");
    let page = render(&rulebook, Format::Html);
    for markup in ["<script", "<img", "<b>"] {
        assert!(!page.contains(markup), "{markup}");
    }
    let markdown = render(&rulebook, Format::Markdown);
    assert!(markdown.contains("- **Why**: a \\| b\n- **Owner**: \\*\\*o\\*\\* \\`c\\`\n"));
    assert!(!markdown.replace("\\<", "").contains('<'), "{markdown}");
}

#[test]
fn a_rulebook_of_pages_alone_says_that_it_uses_no_ones_data() {
    let yaml = "rulebook: 1\ndefault_segment: all\nsegments:\n- {id: a, why: w, owner: o, approach: \
                contextual, when: {page: {category: toys}}}\n";
    let markdown = render(&compile(yaml.as_bytes()).expect("a rulebook"), Format::Markdown);
    assert!(markdown.contains("None: no segment of this rulebook uses data of a person"));
    assert!(!markdown.contains("For the purpose"));
    assert!(markdown.contains("not used if older than 1 day"));
}

fn shipped_site() -> Vec<Page> {
    let rulebook = compile(SHIPPED.as_bytes()).expect("the shipped rulebook");
    let edited = SHIPPED.replace("suspended: false", "suspended: true");
    let edited = edited.replace("2026-11-22", "before");
    site(&rulebook, &[compile(edited.as_bytes()).expect("an earlier one")], "2026-11-30")
}

fn file<'p>(pages: &'p [Page], name: &str) -> &'p str {
    &pages.iter().find(|page| page.name == name).unwrap_or_else(|| panic!("{name}")).html
}

#[test]
fn the_pages_of_a_site_lead_to_each_other_and_nowhere_else() {
    let pages = shipped_site();
    let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
    for expected in [
        "index.html",
        "glossary.html",
        "purposes.html",
        "segments.html",
        "gate.html",
        "data-map.html",
        "history.html",
    ] {
        assert!(names.contains(&expected), "{expected}: {names:?}");
    }
    for Page { name, html } in &pages {
        let targets: Vec<&str> =
            html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(targets.len() >= names.len(), "{name} leads to every page: {targets:?}");
        assert!(targets.iter().all(|target| names.contains(target)), "{name}: {targets:?}");
        assert_eq!(html.matches("aria-current").count(), 2, "{name}: once in the style, once here");
        for reach in ["<script", "<link", "<img", "http:", "https:", "url(", "@import"] {
            assert!(!html.contains(reach), "{name}: {reach}");
        }
    }
}

#[test]
fn each_page_of_a_site_has_the_day_the_version_and_the_hash() {
    let hash = compile(SHIPPED.as_bytes()).expect("the shipped rulebook").sha256_hex();
    for Page { name, html } in shipped_site() {
        let (_, footer) = html.split_once("<footer>").unwrap_or_else(|| panic!("{name}"));
        for expected in ["2026-11-30", "Rulebook 2026-11-22", &hash] {
            assert!(footer.contains(expected), "{name}: {expected}");
        }
    }
}

/// Whatever the one page says stands on a page of the site.
#[test]
fn a_site_says_what_the_document_says() {
    let (page, pages) = (shipped(Format::Html), shipped_site());
    let all: String = pages.iter().map(|page| page.html.as_str()).collect();
    let (_, body) = page.split_once("</nav>").expect("contents");
    for line in body.lines().filter(|line| !line.starts_with("<h2") && !line.contains("href=")) {
        assert!(all.contains(line), "{line}");
    }
    for line in &LINES {
        assert!(text_of(file(&pages, "gate.html")).contains(line.when), "{}", line.when);
    }
    assert!(file(&pages, "segments.html").contains("Looks at preschool toys"));
}

#[test]
fn the_picture_has_every_output_and_reader() {
    let pages = shipped_site();
    let (_, svg) = file(&pages, "data-map.html").split_once("<svg").expect("a picture");
    let (svg, _) = svg.split_once("</svg>").expect("its end");
    for expected in [
        "clickstream",
        "consent-changelog",
        "the gate",
        "segments.partner-advertising",
        "segments.personalized-offers",
        "contextual-segments",
        "segmentation-audit",
        "marketing",
    ] {
        assert!(svg.contains(&format!("<title>{expected}</title>")), "{expected}");
    }
}

#[test]
fn the_history_says_what_changed_and_what_is_material() {
    let pages = shipped_site();
    let text = text_of(file(&pages, "history.html"));
    for expected in [
        "purpose partner-advertising, looser: it is no longer suspended",
        "Material",
        "data is used again for the purpose",
        "Rulebook before",
        "The first version that this page was given.",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn nothing_that_a_rulebook_wrote_becomes_markup_in_a_site() {
    let yaml = |version: &str| {
        format!(
            "rulebook: '{version}<b>'\ndefault_segment: all\npurposes: []\nsegments:\n- {{id: a, title: \
             '<script>x</script>{version}', why: w, owner: o, approach: contextual, when: {{page: {{category: \
             '<img>'}}}}}}\n"
        )
    };
    let book = |version| compile(yaml(version).as_bytes()).expect("a rulebook");
    for Page { name, html } in site(&book("2"), &[book("1")], "<i>") {
        for markup in ["<script", "<img", "<b>", "<i>"] {
            assert!(!html.contains(markup), "{name}: {markup}");
        }
    }
}
