use super::{
    args,
    error::CommandError,
    feed::{Feed, From, Scope},
    line::Entry,
    out::{Out, warn},
    place::Place,
};

pub(super) async fn run(
    place: &Place,
    args: args::Tail,
    out: &mut Out,
) -> Result<(), CommandError> {
    let bus = place.connect_used().await?;
    let scope = Scope {
        namespace: place.namespace.clone(),
        filter: args.filter.clone(),
        key: args.key.clone(),
    };
    let mut feed = Feed::open(bus, scope, from(&args)).await?;
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut waiting = false;
    while left > 0 {
        match feed.next().await {
            Ok(Some(found)) => {
                for entry in Entry::all(found, &args.filter) {
                    if left == 0 {
                        break;
                    }
                    out.line(&if args.json {
                        entry.json()
                    } else {
                        entry.line()
                    })?;
                    left -= 1;
                }
                continue;
            }
            Ok(None) if args.no_follow => break,
            Ok(None) => waiting = false,
            Err(error) if !args.no_follow && error.passes() => {
                if !waiting {
                    warn(&format!("{error}; waiting for it"));
                }
                waiting = true;
            }
            Err(error) => return Err(error),
        }
        out.flush()?;
        feed.wait().await?;
    }
    Ok(())
}

const fn from(args: &args::Tail) -> From {
    match args.from {
        Some(sequence) => From::Sequence(sequence),
        None if args.all || args.no_follow => From::All,
        None => From::New,
    }
}
