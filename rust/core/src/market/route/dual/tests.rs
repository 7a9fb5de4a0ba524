//! Books and pools against every split there is.

use super::{DualRouter, Offers, PoolOffer};
use crate::market::route::exhaustive::{self, Random};
use crate::market::route::{Order, RouteError, Slices, Split, Terms};
use crate::pool::{Concentrated, ConstantProduct, Curve, Fee, Pool, Scale, Token, U256, tick};
use crate::units::{Price, Side, Size, Unit};

/// Prices in 0.01, sizes in 0.01, tokens of nine decimals: a raw unit of quote is 10^-5 of price unit times size unit.
fn scale(base: Token) -> Scale {
    Scale::new(base, [9, 9], Unit::decimals(2), Unit::decimals(2)).expect("a scale")
}

/// One raw unit of quote in the integers of the search.
const RAW: i128 = 10_000;

#[derive(Clone, Debug)]
enum Venue {
    Book(Vec<(i64, i64)>),
    Pool(Box<Pool>, Scale, Option<Price>),
}

#[derive(Clone, Debug)]
struct Case {
    order: Order,
    terms: Vec<Terms>,
    venues: Vec<Venue>,
}

impl Case {
    fn run(&self, router: &mut DualRouter) -> Result<(Split, Vec<i128>), RouteError> {
        let curves: Vec<Option<Curve>> = self
            .venues
            .iter()
            .map(|venue| if let Venue::Pool(pool, ..) = venue { Some(Curve::from(&**pool)) } else { None })
            .collect();
        let worth = PoolOffer::worth_of(&scale(Token::Zero)).expect("units");
        let pools: Vec<Option<PoolOffer<'_>>> = self
            .venues
            .iter()
            .zip(&curves)
            .map(|(venue, curve)| match (venue, curve) {
                (Venue::Pool(pool, scale, limit), Some(curve)) => {
                    Some(PoolOffer { pool, curve, scale, worth: &worth, limit: *limit })
                }
                _ => None,
            })
            .collect();
        let books: Vec<&[(i64, i64)]> = self
            .venues
            .iter()
            .map(|venue| if let Venue::Book(levels) = venue { levels.as_slice() } else { &[] })
            .collect();
        let mut depth = Offers { books: Slices::new(&books), pools: &pools };
        let split = router.split(&self.order, &self.terms, &mut depth)?;
        let costs = (0..self.venues.len()).map(|venue| router.cost_of(venue)).collect();
        Ok((split, costs))
    }

    /// See [`exhaustive`]; a pool is asked for each number of lots.
    fn choices(&self, venue: usize) -> Vec<(i64, i128)> {
        let (terms, buy) = (&self.terms[venue], self.order.buy);
        exhaustive::choices(&self.order, terms, |size| match &self.venues[venue] {
            Venue::Book(levels) => exhaustive::book_cost(levels, size, terms.factor, buy),
            Venue::Pool(pool, scale, limit) => pool_cost(pool, scale, *limit, size, terms.factor, buy),
        })
    }

    fn optimum(&self) -> Option<(i64, i128)> {
        exhaustive::optimum(&self.order, &(0..self.terms.len()).map(|venue| self.choices(venue)).collect::<Vec<_>>())
    }
}

fn pool_cost(pool: &Pool, scale: &Scale, limit: Option<Price>, size: i64, factor: i64, buy: bool) -> Option<i128> {
    let side = if buy { Side::Ask } else { Side::Bid };
    if limit.is_some_and(|limit| pool.size_at_marginal(side, limit, scale).expect("amounts").0.0 < size) {
        return None;
    }
    let raw = scale.raw_size(Size(size))?;
    let token_in = scale.token_in(side);
    // 10^-5 of price unit times size unit, in 10^-9 of it, with the proportional cost in parts per billion.
    let count = |quote: U256| i128::try_from(quote).expect("small") * i128::from(factor);
    if buy {
        let paid = pool.quote_out(token_in, &raw).ok()?.amount_in;
        Some(-(-count(paid)).div_euclid(100_000))
    } else {
        let got = pool.quote_in(token_in, &raw).ok()?.amount_out;
        Some(-count(got).div_euclid(100_000))
    }
}

/// Raw amounts of a size and of price times size.
fn raw(size: i64) -> u128 {
    u128::from(size.unsigned_abs()) * 10_000_000
}

fn random_pool(random: &mut Random, price: i64, base: Token) -> Pool {
    // From as deep as the order to a thousand times that, so that a lot moves the price by a little or a lot.
    let size = random.pick(&[60_i64, 600, 30_000]) + random.below(100);
    let reserve_base = raw(size) + u128::from(random.below(10_000_000).unsigned_abs());
    let reserve_quote = raw(size) / 100 * u128::from(price.unsigned_abs());
    let (zero, one) = if base == Token::Zero { (reserve_base, reserve_quote) } else { (reserve_quote, reserve_base) };
    if random.below(2) == 0 {
        return ConstantProduct::new(zero, one, Fee::new(random.pick(&[0, 3, 10]), 1_000).expect("a fee"))
            .expect("reserves")
            .into();
    }
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    let index = ((one as f64 / zero as f64).ln() / 1.0001_f64.ln()) as i32;
    let at = tick::sqrt_price_at(index).expect("in range") + U256::from(random.below(1 << 40).unsigned_abs());
    let mut pool = Concentrated::new(at, 10, Fee::pips(random.pick(&[100, 3_000])).expect("a fee")).expect("a pool");
    let middle = index.div_euclid(10) * 10;
    for _ in 0..1 + random.below(4) {
        let lower = middle - 10 * i32::try_from(random.below(120)).expect("small");
        let upper = middle + 10 + 10 * i32::try_from(random.below(120)).expect("small");
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let liquidity = ((zero as f64) * (one as f64)).sqrt() as u128;
        pool.mint(lower, upper, liquidity * u128::from(random.pick(&[1_u32, 5, 50]))).expect("room");
    }
    pool.into()
}

fn random_case(random: &mut Random) -> Case {
    let buy = random.below(2) == 0;
    let lots: &[i64] = random.pick(&[&[1_i64] as &[i64], &[1], &[1, 2, 4], &[1, 5, 10], &[2, 3, 5]]);
    let kind = random.below(4);
    let spread = random.pick(&[2, 20, 200]);
    let (mut terms, mut venues) = (Vec::new(), Vec::new());
    for _ in 0..1 + random.below(5) {
        let lot = random.pick(lots);
        let mut one = Terms { factor: 1_000_000_000 + random.below(4_000_000) - 1_000_000, lot, ..Terms::default() };
        if kind > 0 {
            if random.below(2) == 0 {
                one.fixed = i128::from(random.below(800)) * 1_000_000_000;
            }
            one.min = random.pick(&[0, 0, 3, 7]);
            one.max = random.pick(&[i64::MAX, i64::MAX, 9, 20]);
        }
        if kind > 1 && random.below(4) == 0 && buy {
            one.budget = Some(i128::from(random.below(20_000)) * 1_000_000_000);
        }
        let mut price = 1_000 + random.below(spread);
        terms.push(one);
        venues.push(if random.below(3) == 0 {
            let mut ladder = Vec::new();
            for _ in 0..random.below(8) {
                ladder.push((price, 1 + random.below(if lot > 2 { 12 } else { 6 })));
                price += random.below(spread) * if buy { 1 } else { -1 };
            }
            Venue::Book(ladder)
        } else {
            let base = random.pick(&[Token::Zero, Token::One]);
            let limit = (random.below(6) == 0).then(|| Price(price + random.below(200) * if buy { 1 } else { -1 }));
            Venue::Pool(Box::new(random_pool(random, price, base)), scale(base), limit)
        });
    }
    let unit = terms.iter().fold(0, |divisor, one| super::gcd(divisor, one.lot));
    let size = (1 + random.below(48)) * unit;
    let count = i64::try_from(terms.len()).expect("few");
    let max_venues = if kind == 3 { usize::try_from(1 + random.below(count)).expect("few") } else { usize::MAX };
    if kind == 2 && random.below(3) == 0 {
        terms[0].required = true;
    }
    Case { order: Order { buy, size, max_venues, max_nodes: 100_000 }, terms, venues }
}

#[test]
fn splits_over_books_and_pools_are_those_of_an_exhaustive_search_lot_by_lot() {
    let slow: usize =
        std::env::var("CROSSBOOK_SLOW").map_or(1, |factor| factor.parse().expect("CROSSBOOK_SLOW: a whole number"));
    let mut random = Random(1);
    let mut router = DualRouter::new();
    let (mut nodes, mut most, mut partial, mut several, mut exact, mut short) = (0, 0, 0, 0, 0, 0);
    for number in 0..4_000 * slow {
        let case = random_case(&mut random);
        let (split, costs) = match case.run(&mut router) {
            Ok(found) => found,
            Err(RouteError::Required { .. }) => {
                assert!(case.choices(0).is_empty(), "case {number}: {case:?}");
                continue;
            }
            Err(error) => panic!("case {number}: {error}: {case:?}"),
        };
        let Some((filled, cost)) = case.optimum() else {
            assert_eq!(split.filled, 0, "case {number}: no split at all, but {split:?}: {case:?}");
            continue;
        };
        if split.filled < filled {
            short += 1;
            eprintln!("case {number}: {filled} for {cost}, found {split:?}");
            continue;
        }
        // Whole amounts of tokens bend the curves by less than this.
        let pools = case.venues.iter().filter(|venue| matches!(venue, Venue::Pool(..))).count();
        let rounding = 2 * RAW * i128::try_from(pools).expect("few") + cost.abs() / 1_000_000_000_000;
        assert_eq!(split.filled, filled, "case {number}: {split:?} {case:?}");
        assert!(split.cost >= cost, "case {number}: {cost} {split:?} {case:?}");
        assert!(split.bound <= cost, "case {number}: the bound holds: {cost} {split:?} {case:?}");
        assert!(split.cost - cost <= rounding, "case {number}: {cost} {split:?} {case:?}");
        exact += usize::from(split.cost == cost);
        let legs = router.lots();
        let size: i64 = legs.iter().zip(&case.terms).map(|(lots, terms)| lots * terms.lot).sum();
        assert_eq!((size, costs.iter().sum::<i128>()), (filled, split.cost), "case {number}: {case:?}");
        for (venue, (lots, cost)) in legs.iter().zip(&costs).enumerate() {
            let size = lots * case.terms[venue].lot;
            assert!(case.choices(venue).contains(&(size, *cost)), "case {number} venue {venue}: {split:?} {case:?}");
        }
        nodes += split.nodes;
        most = most.max(split.nodes);
        partial += usize::from(filled < case.order.size);
        several += usize::from(legs.iter().filter(|lots| **lots > 0).count() > 1);
    }
    eprintln!(
        "{nodes} nodes, at most {most}; {partial} partial, {several} of several legs, {exact} exact, {short} short"
    );
    assert!(partial > 200 && several > 1_000, "{partial} {several}");
    assert_eq!(short, 0);
}
