//! The search against every split there is.

use proptest::prelude::*;

use super::exhaustive::{self, Random};
use super::{Order, RouteError, Router, Slices, Split, Terms};

#[derive(Clone, Debug)]
struct Case {
    order: Order,
    terms: Vec<Terms>,
    ladders: Vec<Vec<(i64, i64)>>,
}

impl Case {
    fn split(&self, router: &mut Router) -> Result<Split, RouteError> {
        let slices: Vec<&[(i64, i64)]> = self.ladders.iter().map(Vec::as_slice).collect();
        router.split(&self.order, &self.terms, &mut Slices::new(&slices))
    }

    /// See [`exhaustive`].
    fn choices(&self, venue: usize) -> Vec<(i64, i128)> {
        let terms = &self.terms[venue];
        exhaustive::choices(&self.order, terms, |size| {
            exhaustive::book_cost(&self.ladders[venue], size, terms.factor, self.order.buy)
        })
    }

    fn optimum(&self) -> Option<(i64, i128)> {
        exhaustive::optimum(&self.order, &(0..self.terms.len()).map(|venue| self.choices(venue)).collect::<Vec<_>>())
    }
}

/// A case with everything that can matter: lots that divide one another or not, levels off the lot, fixed costs, least and
/// greatest sizes, budgets, rebates, orders that must be, few venues.
fn random_case(random: &mut Random) -> Case {
    let venues = 1 + random.below(5);
    let buy = random.below(2) == 0;
    let lots: &[i64] = random.pick(&[&[1_i64] as &[i64], &[1, 2, 4], &[1, 5, 10], &[2, 3, 5], &[4], &[6, 4]]);
    let kind = random.below(4);
    let mut terms = Vec::new();
    let mut ladders = Vec::new();
    let spread = random.pick(&[2, 10, 200]);
    for _ in 0..venues {
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
        let mut ladder = Vec::new();
        for _ in 0..random.below(8) {
            ladder.push((price, 1 + random.below(if lot > 2 { 12 } else { 6 })));
            price += random.below(spread) * if buy { 1 } else { -1 };
        }
        terms.push(one);
        ladders.push(ladder);
    }
    let unit =
        terms.iter().map(|one| one.lot).reduce(|a, b| (1..=a).rev().find(|d| a % d == 0 && b % d == 0).unwrap_or(1));
    let unit = unit.unwrap_or(1);
    let size = (1 + random.below(48)) * unit;
    let max_venues = if kind == 3 { usize::try_from(1 + random.below(venues)).expect("small") } else { usize::MAX };
    if kind == 2 && random.below(3) == 0 {
        terms[0].required = true;
    }
    Case { order: Order { buy, size, max_venues, max_nodes: 100_000 }, terms, ladders }
}

#[test]
fn splits_are_those_of_an_exhaustive_search_lot_by_lot() {
    let slow: usize =
        std::env::var("CROSSBOOK_SLOW").map_or(1, |factor| factor.parse().expect("CROSSBOOK_SLOW: a whole number"));
    let mut random = Random(1);
    let mut router = Router::new();
    let (mut nodes, mut most, mut partial, mut several) = (0, 0, 0, 0);
    for number in 0..10_000 * slow {
        let case = random_case(&mut random);
        let split = match case.split(&mut router) {
            Ok(split) => split,
            Err(RouteError::Required { .. }) => {
                assert!(case.choices(0).is_empty(), "case {number}: {case:?}");
                continue;
            }
            Err(error) => panic!("case {number}: {error}: {case:?}"),
        };
        let Some((filled, cost)) = case.optimum() else {
            panic!("case {number}: no split at all, but {split:?}: {case:?}");
        };
        assert_eq!((split.filled, split.cost), (filled, cost), "case {number}: {split:?} {case:?}");
        assert!(split.is_optimal && split.bound == cost, "case {number}: {split:?}");
        // The legs are that split.
        let legs = router.lots();
        let size: i64 = legs.iter().zip(&case.terms).map(|(lots, terms)| lots * terms.lot).sum();
        let total: i128 = (0..legs.len()).map(|venue| router.cost_of(venue)).sum();
        assert_eq!((size, total), (filled, cost), "case {number}: {case:?}");
        assert!(legs.iter().filter(|lots| **lots > 0).count() <= case.order.max_venues);
        for (venue, lots) in legs.iter().enumerate() {
            let size = lots * case.terms[venue].lot;
            assert!(case.choices(venue).contains(&(size, router.cost_of(venue))), "case {number}: {case:?}");
        }
        nodes += split.nodes;
        most = most.max(split.nodes);
        partial += usize::from(filled < case.order.size);
        several += usize::from(legs.iter().filter(|lots| **lots > 0).count() > 1);
    }
    eprintln!("{nodes} nodes, at most {most}; {partial} partial, {several} of several legs");
    assert!(partial > 1_000 && several > 2_000, "{partial} {several}");
}

fn books(random: &mut Random, count: usize, depth: usize) -> Vec<Vec<(i64, i64)>> {
    (0..count)
        .map(|_| {
            let mut price = 1_000_000 + random.below(1_000);
            (0..depth)
                .map(|_| {
                    price += 1 + random.below(100);
                    (price, 1 + random.below(5_000))
                })
                .collect()
        })
        .collect()
}

fn plain(ladders: Vec<Vec<(i64, i64)>>, size: i64) -> Case {
    let terms = (0..ladders.len()).map(|at| {
        let factor = 1_000_000_000 + [0, 100_000, -50_000, 250_000][at % 4];
        Terms { factor, ..Terms::default() }
    });
    let order = Order { buy: true, size, max_venues: usize::MAX, max_nodes: 10_000 };
    Case { order, terms: terms.collect(), ladders }
}

#[test]
fn a_thousand_ladders_cost_what_all_levels_sorted_by_net_price_cost() {
    let mut random = Random(5);
    let mut router = Router::new();
    for (count, depth) in [(2, 500), (23, 80), (24, 80), (1_000, 40)] {
        let ladders = books(&mut random, count, depth);
        let total: i64 = ladders.iter().flatten().map(|level| level.1).sum();
        for share in [1, 10, 250, 900, 999] {
            let case = plain(ladders.clone(), (total / 1_000 * share).max(1));
            let mut levels: Vec<(i128, i64)> = case
                .ladders
                .iter()
                .zip(&case.terms)
                .flat_map(|(ladder, terms)| {
                    ladder.iter().map(|(price, size)| (i128::from(*price) * i128::from(terms.factor), *size))
                })
                .collect();
            levels.sort_unstable();
            let (mut left, mut cost, mut last) = (case.order.size, 0, 0);
            for (price, available) in levels {
                let taken = available.min(left);
                (left, cost) = (left - taken, cost + price * i128::from(taken));
                if taken > 0 {
                    last = price;
                }
            }
            let split = case.split(&mut router).expect("a split");
            assert_eq!((split.filled, split.cost, split.is_optimal), (case.order.size, cost, true), "{count} {share}");
            assert_eq!(split.marginal, last as f64, "the dual price is the price of the last level");
        }
    }
}

#[test]
fn a_search_that_is_cut_short_says_how_far_from_the_best_it_is_at_most() {
    let mut random = Random(11);
    let mut router = Router::new();
    let mut unproven = 0;
    for _ in 0..3_000 {
        let mut case = random_case(&mut random);
        case.order.max_nodes = 2;
        let Ok(split) = case.split(&mut router) else { continue };
        let (filled, cost) = case.optimum().expect("a split");
        if split.is_optimal {
            assert_eq!((split.filled, split.cost), (filled, cost), "{case:?}");
        } else {
            unproven += 1;
            assert!(split.filled <= filled, "{case:?}");
            assert!(split.filled < filled || (split.bound <= cost && cost <= split.cost), "{split:?} {case:?}");
        }
    }
    assert!(unproven > 100, "{unproven}");
}

#[test]
fn what_cannot_be_is_an_error_that_names_the_venue() {
    let mut router = Router::new();
    let good = plain(vec![vec![(100, 5)], vec![(101, 5)]], 6);
    let wrong = |change: &dyn Fn(&mut Case)| {
        let mut case = good.clone();
        change(&mut case);
        case.split(&mut Router::new()).expect_err("wrong")
    };
    assert_eq!(wrong(&|case| case.order.size = 0), RouteError::Size(0));
    assert!(matches!(wrong(&|case| case.terms[1].lot = 0), RouteError::Terms { venue: 1, .. }));
    assert!(matches!(wrong(&|case| case.terms[1].factor = 0), RouteError::Terms { venue: 1, .. }));
    assert!(matches!(wrong(&|case| case.terms[0].fixed = -1), RouteError::Terms { venue: 0, .. }));
    assert_eq!(wrong(&|case| case.ladders[0] = vec![(100, 1), (99, 9)]), RouteError::Unsorted { venue: 0, price: 99 });
    let lots = wrong(&|case| case.terms.iter_mut().for_each(|terms| terms.lot = 4));
    assert_eq!(lots, RouteError::OffLot { size: 6, lot: 4 });
    let huge = wrong(&|case| {
        case.order.size = i64::MAX;
        case.ladders[0] = vec![(i64::MAX, i64::MAX)];
    });
    assert_eq!(huge, RouteError::Overflow { venue: 0 });
    assert_eq!(good.split(&mut router).map(|split| split.filled), Ok(6));
}

/// Many levels of every shape: sizes of any magnitude, gaps, ties, levels without a size, prices about zero.
fn tall_case(random: &mut Random) -> Case {
    let buy = random.below(2) == 0;
    let most = random.pick(&[9, 9, 9, 9, 9, 9, 70]);
    let venues = 1 + random.below(most);
    let lot = random.pick(&[1, 1, 5, 96, 1_000]);
    let (spread, top) = (random.pick(&[3, 50, 5_000]), random.pick(&[0, 1_000, 6_000_000]));
    let digits = random.pick(&[1_i64, 100, 1_000_000]);
    let (mut terms, mut ladders) = (Vec::new(), Vec::new());
    for _ in 0..venues {
        let mut one = Terms { factor: 1_000_000_000 + random.below(4_000_000) - 1_000_000, lot, ..Terms::default() };
        if random.below(6) == 0 {
            one.max = lot * random.below(digits * 40);
        }
        let mut price = top + random.below(spread) * random.pick(&[1, 1, 30]);
        let (mut ladder, dense) = (Vec::new(), random.pick(&[1, 2, 40]));
        for _ in 0..random.below(80) {
            let size = lot * random.below(digits) * random.pick(&[0, 1, 1, 1, 7]);
            ladder.push((price, if random.below(200) == 0 { size + 1 } else { size }));
            let step = random.below(spread) * if random.below(15) == 0 { 40 } else { 1 } / dense;
            price += if buy { step } else { -step };
        }
        terms.push(one);
        ladders.push(ladder);
    }
    let total: i64 = ladders.iter().flatten().map(|level| level.1).sum();
    let size = (1 + total / lot * random.below(11) / 9 / random.pick(&[1, 1, 10, 1_000])) * lot;
    Case { order: Order { buy, size, max_venues: usize::MAX, max_nodes: 10_000 }, terms, ladders }
}

#[test]
fn splits_without_a_search_are_those_of_the_search() {
    let mut random = Random(3);
    let mut router = Router::new();
    let (mut partial, mut searched) = (0, 0);
    for number in 0..3_000 {
        let case = tall_case(&mut random);
        let split = case.split(&mut router).expect("a split");
        let parts: Vec<_> = (0..case.terms.len()).map(|venue| (router.cost_of(venue), router.last_of(venue))).collect();
        let lots = router.lots().to_vec();
        searched += usize::from(router.gross_of(0).is_none());
        // A budget that is never used up makes it search.
        let mut other = case.clone();
        other.terms[0].budget = Some(i128::MAX);
        let expected = other.split(&mut router).expect("a split");
        assert!(router.gross_of(0).is_none());
        assert_eq!(split, Split { nodes: split.nodes, ..expected }, "case {number}: {case:?}");
        assert_eq!(parts.iter().map(|part| part.0).sum::<i128>(), split.cost);
        assert_eq!(lots.iter().sum::<i64>() * case.terms[0].lot, split.filled);
        // Of equal prices either may have the lot; what each has costs what its levels say.
        for (venue, (cost, last)) in parts.iter().enumerate() {
            let (mut left, mut paid, mut worst) = (lots[venue] * case.terms[venue].lot, 0, None);
            let factor = i128::from(case.terms[venue].factor) * if case.order.buy { 1 } else { -1 };
            for (price, size) in &case.ladders[venue] {
                let taken = left.min(*size);
                (left, paid) = (left - taken, paid + i128::from(*price) * factor * i128::from(taken));
                worst = if taken > 0 { Some(*price) } else { worst };
            }
            assert!(left == 0 && lots[venue] * case.terms[venue].lot <= case.terms[venue].max, "case {number}");
            assert_eq!((*cost, last.map(|last| last.0)), (paid, worst), "case {number}, venue {venue}: {case:?}");
        }
        partial += usize::from(split.filled < case.order.size);
    }
    assert!(partial > 300 && (100..1_500).contains(&searched), "{partial} {searched}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn to_do_without_a_venue_never_helps(seed: u64, without in 0_usize..5) {
        let case = random_case(&mut Random(seed));
        let mut less = case.clone();
        let without = without % case.terms.len();
        if case.terms.len() == 1 || case.terms[without].required {
            return Ok(());
        }
        less.terms.remove(without);
        less.ladders.remove(without);
        let mut router = Router::new();
        // Without it the size may be no sum of lots any more, or the number of venues no limit.
        let (Ok(all), Ok(some)) = (case.split(&mut router), less.split(&mut Router::new())) else { return Ok(()) };
        prop_assert!(some.filled < all.filled || (some.filled == all.filled && some.cost >= all.cost), "{case:?}");
    }

    #[test]
    fn no_numbers_make_it_panic(
        buy: bool, size: i64, max_venues in 0_usize..4,
        venues in prop::collection::vec(
            (any::<i64>(), any::<i128>(), any::<i64>(), any::<i64>(), any::<i64>(), any::<Option<i128>>(), any::<bool>(),
                prop::collection::vec((any::<i64>(), any::<i64>()), 0..5), 0_u32..63),
            0..5,
        ),
    ) {
        let (mut terms, mut ladders) = (Vec::new(), Vec::new());
        for (factor, fixed, lot, min, max, budget, required, mut ladder, shift) in venues {
            let small = |value: i64| (value >> shift).saturating_abs();
            ladder.sort_unstable_by_key(|level| if buy { level.0 } else { level.0.saturating_neg() });
            let (factor, lot, min, max) = (small(factor).max(1), small(lot).max(1), small(min), small(max));
            terms.push(Terms { factor, fixed: fixed.saturating_abs() >> shift, lot, min, max, budget, required });
            ladders.push(ladder.into_iter().map(|(price, size)| (price, size >> shift)).collect());
        }
        let case = Case { order: Order { buy, size, max_venues, max_nodes: 50 }, terms, ladders };
        if let Ok(split) = case.split(&mut Router::new()) {
            prop_assert!(split.filled <= size && split.bound <= split.cost);
        }
    }

    #[test]
    fn more_size_never_costs_less_where_lots_are_equal(seed: u64, size in 1_i64..20_000) {
        let ladders = books(&mut Random(seed), 4, 6);
        let mut router = Router::new();
        let one = plain(ladders.clone(), size).split(&mut router).expect("a split");
        let more = plain(ladders, size + 1).split(&mut router).expect("a split");
        prop_assert!(one.filled <= size && more.filled >= one.filled && more.cost >= one.cost);
        prop_assert!(more.filled > one.filled || more.cost == one.cost);
    }
}
