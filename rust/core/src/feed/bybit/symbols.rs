//! What Bybit's symbols and listings say of its instruments.

use serde::Deserialize;

use super::super::{step_of, tick_decimals};
use crate::instrument::{Contract, Instrument, OptionTerms, Venue};
use crate::units::Unit;

const QUOTES: [&str; 14] =
    ["USDT", "USDC", "USDE", "USDQ", "USD1", "USDR", "DAI", "EUR", "BRL", "TRY", "PLN", "BTC", "ETH", "MNT"];

pub(super) fn describe(venue: Venue, symbol: &str) -> Option<Instrument> {
    let mut parts = symbol.split('-');
    let pair = parts.next().filter(|pair| !pair.is_empty() && pair.bytes().all(|byte| byte.is_ascii_alphanumeric()))?;
    let split = |quotes: &[&'static str]| {
        quotes
            .iter()
            .find_map(|quote| pair.strip_suffix(quote).filter(|base| !base.is_empty()).map(|base| (base, *quote)))
    };
    let named = |contract, base: &str, quote: &str| Instrument::named(venue, symbol, contract, base, quote);
    match venue {
        Venue::BybitOption => {
            let (day, strike, right) = (parts.next()?, parts.next()?, parts.next()?);
            let mut found = named(Contract::Option, pair, parts.next().unwrap_or("USDC"));
            found.delivery = Some(delivery(day)?);
            let call = match right {
                "C" => true,
                "P" => false,
                _ => return None,
            };
            found.option = Some(OptionTerms { strike: Unit::parse(strike).ok()?, call });
            Some(found)
        }
        Venue::BybitInverse => {
            let quarter = pair.len().checked_sub(3).and_then(|at| pair.get(at..)).and_then(quarter_day);
            let pair = if quarter.is_some() { pair.get(..pair.len() - 3)? } else { pair };
            let base = pair.strip_suffix("USD").filter(|base| !base.is_empty())?;
            let mut found = named(Contract::Inverse, base, "USD");
            found.delivery = quarter;
            Some(found)
        }
        Venue::BybitLinear => {
            let day = match parts.next() {
                Some(day) => Some(delivery(day)?),
                None => None,
            };
            // Contracts in USDC have no quote in their name: BTCPERP, BTC-26DEC25.
            let perpetual = pair.strip_suffix("PERP").filter(|base| !base.is_empty() && day.is_none());
            let (base, quote) = match (split(&["USDT", "USDC", "USDE"]), perpetual) {
                (Some(found), _) => found,
                (None, Some(base)) => (base, "USDC"),
                (None, None) if day.is_some() => (pair, "USDC"),
                (None, None) => return None,
            };
            let mut found = named(Contract::Linear, base, quote);
            found.delivery = day;
            Some(found)
        }
        _ => {
            let (base, quote) = split(&QUOTES)?;
            Some(named(Contract::Spot, base, quote))
        }
    }
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

/// `251226` of `26DEC25`.
pub(super) fn delivery(day: &str) -> Option<String> {
    let letters = day.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, rest) = (day.get(..letters)?, day.get(letters..)?);
    let (month, year) = (rest.get(..3)?, rest.get(3..)?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let day: u8 = number.parse().ok().filter(|day| (1..=31).contains(day))?;
    let year: u8 = year.parse().ok().filter(|_| year.len() == 2)?;
    Some(format!("{year:02}{month:02}{day:02}"))
}

/// The last Friday of the month that `Z25` names: the letters are those of all futures exchanges.
fn quarter_day(code: &str) -> Option<String> {
    let month = i64::try_from("FGHJKMNQUVXZ".find(code.get(..1)?)?).ok()? + 1;
    let year: i64 = code.get(1..).filter(|year| year.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?;
    // The 24th is the earliest and the 31st the latest day that can be a month's last Friday.
    let first_of_next = if month == 12 { days(2001 + year, 1, 1) } else { days(2000 + year, month + 1, 1) };
    // 1970-01-01 was a Thursday: Fridays are the days 1, 8, 15...
    let last = first_of_next - 1;
    Some(date(last - (last - 1).rem_euclid(7)))
}

/// Days since the epoch of a day of the proleptic Gregorian calendar.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day
        - 1
        - 719_468
}

/// A day since the epoch as `YYMMDD`.
fn date(day: i64) -> String {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (month, day) = (if shifted < 10 { shifted + 3 } else { shifted - 9 }, of_year - (153 * shifted + 2) / 5 + 1);
    let year = era * 400 + year + i64::from(month <= 2);
    format!("{:02}{month:02}{day:02}", year.rem_euclid(100))
}

#[derive(Deserialize)]
struct Listing {
    result: Page,
}

#[derive(Deserialize)]
struct Page {
    list: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    symbol: String,
    #[serde(default)]
    base_coin: String,
    #[serde(default)]
    quote_coin: String,
    #[serde(default)]
    settle_coin: String,
    #[serde(default)]
    delivery_time: String,
    #[serde(default)]
    price_filter: PriceFilter,
    #[serde(default)]
    lot_size_filter: LotFilter,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PriceFilter {
    #[serde(default)]
    tick_size: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LotFilter {
    #[serde(default)]
    qty_step: String,
    #[serde(default)]
    base_precision: String,
}

pub(super) fn list(venue: Venue, body: &[u8]) -> Result<Vec<Instrument>, String> {
    let listing: Listing = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let list = listing.result.list.into_iter();
    Ok(list.filter_map(|entry| listed(venue, &serde_json::from_value(entry).ok()?)).collect())
}

fn listed(venue: Venue, listed: &Listed) -> Option<Instrument> {
    let contract = match venue {
        Venue::BybitLinear => Contract::Linear,
        Venue::BybitInverse => Contract::Inverse,
        Venue::BybitOption => Contract::Option,
        _ => Contract::Spot,
    };
    if listed.symbol.is_empty() || listed.base_coin.is_empty() || listed.quote_coin.is_empty() {
        return None;
    }
    let known = describe(venue, &listed.symbol);
    let mut found = Instrument::named(venue, &listed.symbol, contract, &listed.base_coin, &listed.quote_coin);
    if !listed.settle_coin.is_empty() {
        found.settle.clone_from(&listed.settle_coin);
    }
    if contract == Contract::Option {
        found.option = Some(known?.option?);
    }
    let day = listed.delivery_time.parse::<i64>().ok().filter(|time| *time > 0).map(|time| date(time / 86_400_000));
    found.delivery = if contract == Contract::Spot { None } else { day };
    let filter = &listed.lot_size_filter;
    found.tick = step_of(&listed.price_filter.tick_size);
    found.lot = step_of(&filter.qty_step).or_else(|| step_of(&filter.base_precision));
    found.price_unit = tick_decimals(found.tick, 8);
    found.size_unit = tick_decimals(found.lot, 8);
    Some(found)
}
