//! The words of the stories: tables of rows, one row per thing a story may be about.
//!
//! A story binds each variable to one row and keeps it to the end, so everything
//! a row says belongs together: a kite tears and is patched, a drum splits and is
//! not sewn. Fields are templates themselves and may name other variables.

/// A table: the names of its columns, then its rows.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) fields: &'static [&'static str],
    pub(super) rows: &'static [&'static [&'static str]],
}

/// The variables of a story and the table each takes its row from.
///
/// Variables of one table are bound to different rows, and members of the cast
/// come from the same world (see [`CAST`]).
pub(super) const VARIABLES: &[(&str, &str)] = &[
    ("begin", "begin"),
    ("hero", CAST),
    ("friend", CAST),
    ("elder", "elder"),
    ("house", "house"),
    ("trait", "trait"),
    ("color", "color"),
    ("toy", "toy"),
    ("nook", "nook"),
    ("corner", "nook"),
    ("spot", "spot"),
    ("trouble", "trouble"),
    ("fear", "fear"),
    ("skill", "skill"),
    ("plan", "plan"),
    ("weather", "weather"),
    ("indoors", "indoors"),
    ("food", "food"),
    ("noise", "noise"),
];

/// The table that is not written down but multiplied out: every child, and every
/// animal name with every species. Its columns are [`CAST_FIELDS`].
pub(super) const CAST: &str = "cast";

/// The columns of the cast: name, kind, world (`child` or `animal`), the pronouns
/// that go with the name, and where an animal of this kind lives.
pub(super) const CAST_FIELDS: &[&str] = &[
    "name", "kind", "world", "he", "him", "his", "himself", "home",
];

/// Girls, boys, and animal names with their pronouns.
pub(super) const GIRLS: &[&str] = &[
    "Lily", "Mia", "Anna", "Rosie", "Emma", "Nora", "Ella", "Zoe",
];
pub(super) const BOYS: &[&str] = &["Tom", "Ben", "Sam", "Max", "Leo", "Jack", "Theo", "Noah"];
pub(super) const ANIMALS_SHE: &[&str] = &["Daisy", "Hazel", "Tilly", "Poppy", "Olive", "Willow"];
pub(super) const ANIMALS_HE: &[&str] = &["Pip", "Bruno", "Milo", "Toby", "Rusty", "Hugo"];

/// Species and where they live.
pub(super) const SPECIES: &[(&str, &str)] = &[
    ("rabbit", "in a warm burrow under a hill"),
    ("bear", "in a cozy cave near the river"),
    ("fox", "in a den at the edge of the woods"),
    ("mouse", "in a tiny hole behind the mill"),
    ("squirrel", "in the top of a tall oak tree"),
    ("hedgehog", "under a heap of dry leaves"),
    ("duck", "among the reeds by the pond"),
    ("owl", "in the hollow of an old tree"),
];

pub(super) const TABLES: &[Table] = &[
    // Whether the story opens with a habit ("Once upon a time") or with a day.
    Table {
        name: "begin",
        fields: &["kind"],
        rows: &[&["habit"], &["today"]],
    },
    Table {
        name: "elder",
        fields: &["name", "he"],
        rows: &[
            &["mother", "she"],
            &["father", "he"],
            &["grandmother", "she"],
            &["grandfather", "he"],
        ],
    },
    Table {
        name: "house",
        fields: &["where"],
        rows: &[
            &["in a small house by the sea"],
            &["in a quiet village"],
            &["on a little farm"],
            &["in a white house on a hill"],
            &["near a wide green forest"],
        ],
    },
    Table {
        name: "trait",
        fields: &["name"],
        rows: &[
            &["kind"],
            &["cheerful"],
            &["gentle"],
            &["curious"],
            &["clever"],
            &["friendly"],
        ],
    },
    Table {
        name: "color",
        fields: &["name"],
        rows: &[&["red"], &["blue"], &["green"], &["yellow"], &["purple"]],
    },
    Table {
        name: "toy",
        fields: &["name", "use", "snap", "mend"],
        rows: &[
            &[
                "kite",
                "flew it on the hill",
                "tore down the middle",
                "patched it with paper and glue",
            ],
            &[
                "boat",
                "sailed it on the pond",
                "lost its mast",
                "made a new mast from a straight stick",
            ],
            &[
                "drum",
                "beat it and marched up and down",
                "split with a loud crack",
                "covered it with a new piece of leather",
            ],
            &[
                "book",
                "looked at its pictures",
                "lost three of its pages",
                "sewed the pages back in, one by one",
            ],
            &[
                "wagon",
                "pulled it along the path",
                "lost a wheel",
                "hammered the wheel back on",
            ],
            &[
                "puppet",
                "made it dance and bow",
                "lost an arm",
                "tied the arm back on with string",
            ],
        ],
    },
    // Places inside, where one looks first.
    Table {
        name: "nook",
        fields: &["where"],
        rows: &[
            &["under the bed"],
            &["behind the door"],
            &["in the cupboard"],
            &["on the shelf"],
            &["under the table"],
            &["in the basket"],
        ],
    },
    // Places outside.
    Table {
        name: "spot",
        fields: &["where"],
        rows: &[
            &["under the old oak tree"],
            &["beside the stream"],
            &["behind the barn"],
            &["in the tall grass"],
            &["near the big rock"],
            &["next to the wooden bridge"],
        ],
    },
    // What the friend says is wrong, what the hero does about it, what comes of it.
    Table {
        name: "trouble",
        fields: &["says", "act", "result"],
        rows: &[
            &[
                "My foot is stuck between two stones",
                "{hero.He} pushed the bigger stone with all {hero.his} strength",
                "At last it rolled away, and {friend} was free",
            ],
            &[
                "My scarf is caught high up in that tree",
                "{hero.He} climbed up, branch by branch, and pulled the scarf loose",
                "It floated down right into {friend.his} arms",
            ],
            &[
                "My basket has fallen into the water",
                "{hero.He} found a long stick and pulled the basket out",
                "It was dripping wet, but everything was still inside",
            ],
            &[
                "I am lost and cannot find my way home",
                "{hero.He} looked for footprints and followed them along the path",
                "Soon they saw the light in {friend.his} window",
            ],
            &[
                "I have hurt my leg and cannot walk",
                "{hero.He} washed the leg with cool water and tied a soft cloth around it",
                "Little by little, the pain went away",
            ],
            &[
                "My cart is stuck deep in the mud",
                "{hero.He} put flat branches under the wheels and pushed from behind",
                "With a loud pop, the cart rolled out of the mud",
            ],
        ],
    },
    // What the hero fears, how it comes near, what to do, and what that shows.
    Table {
        name: "fear",
        fields: &["name", "time", "event", "advice", "act", "find"],
        rows: &[
            &[
                "the dark",
                "night",
                "the lamp went out and the whole room turned black",
                "Come to the window with me and look up",
                "{hero} walked to the window and looked up",
                "The sky was full of bright stars, and the night was not so black at all",
            ],
            &[
                "deep water",
                "afternoon",
                "the others jumped into the lake, but {hero} stayed on the shore",
                "Hold on to me and kick your feet",
                "{hero} stepped into the lake, held on tight and kicked",
                "Soon {hero.he} was floating all by {hero.himself}",
            ],
            &[
                "thunder",
                "evening",
                "a storm came up and thunder shook the walls",
                "Count slowly after every flash, and hear how the storm goes away",
                "{hero} saw a flash and counted, one, two, three",
                "Each time {hero.he} could count a little longer, until the storm was gone",
            ],
            &[
                "the big dog next door",
                "day",
                "the big dog ran up to {hero} and barked",
                "Stand still and let him smell your hand",
                "{hero} stood still and held out a shaking hand",
                "The dog gave it a lick and wagged his tail",
            ],
            &[
                "high places",
                "day",
                "{hero} had to cross the high bridge over the river",
                "Look straight ahead and take one small step at a time",
                "{hero} looked straight ahead and took one small step, and then another",
                "Before long, {hero.he} was standing on the other side",
            ],
            &[
                "singing in front of others",
                "evening",
                "everyone in the room asked {hero} for a song",
                "Look only at me and sing as if we were alone",
                "{hero} took a deep breath and sang the first line",
                "The song came out clear and sweet, and the whole room clapped",
            ],
        ],
    },
    // What the hero wants to learn, how it fails, the advice, how it works at last.
    Table {
        name: "skill",
        fields: &["name", "fail", "advice", "success"],
        rows: &[
            &[
                "ride a bicycle",
                "the bicycle wobbled and fell over at once",
                "Look far ahead and keep your feet moving",
                "{hero.he} rode all the way to the gate without falling",
            ],
            &[
                "swim",
                "{hero.he} splashed a lot and swallowed water",
                "Lie flat and move your arms slowly",
                "{hero.he} swam across the whole pond",
            ],
            &[
                "whistle",
                "nothing came out but air",
                "Make your lips round and blow very softly",
                "{hero.he} whistled so well that the birds answered",
            ],
            &[
                "bake bread",
                "the bread came out as hard as a stone",
                "Let the dough rest and wait until it has grown",
                "{hero.he} took a soft golden loaf out of the oven",
            ],
            &[
                "skate on the ice",
                "{hero.his} legs slid apart and down {hero.he} went",
                "Bend your knees and push to the side",
                "{hero.he} skated in a big round circle",
            ],
            &[
                "play the flute",
                "the flute only squeaked",
                "Cover the holes well and blow gently",
                "{hero.he} played a whole song from start to end",
            ],
        ],
    },
    // What the friends want to do outside, and what they get ready for it.
    Table {
        name: "plan",
        fields: &["name", "ready"],
        rows: &[
            &["have a picnic", "They packed bread, cheese and sweet plums"],
            &["fly kites", "They tied long tails to their kites"],
            &["go fishing", "They found two rods and a small bucket"],
            &[
                "sail to the island",
                "They painted the boat and mended the sail",
            ],
            &[
                "pick berries",
                "They took two baskets and put on their hats",
            ],
        ],
    },
    // What spoils it, and how it ends.
    Table {
        name: "weather",
        fields: &["name", "comes", "over"],
        rows: &[
            &[
                "rain",
                "dark clouds rolled in and heavy rain began to fall",
                "the rain stopped and a rainbow stood in the sky",
            ],
            &[
                "wind",
                "a cold wind rose and blew so hard that the trees bent",
                "the wind grew tired and the trees stood still",
            ],
            &[
                "fog",
                "a thick fog came down and hid the whole path",
                "the fog lifted and the sun came out",
            ],
            &[
                "hail",
                "the sky turned gray and hail began to hop on the roof",
                "the hail melted away and the air smelled fresh",
            ],
        ],
    },
    // What the friends do inside instead.
    Table {
        name: "indoors",
        fields: &["idea", "did", "name"],
        rows: &[
            &[
                "build a tent out of blankets",
                "They hung blankets over the chairs and crept inside with a lamp",
                "tent",
            ],
            &[
                "put on a puppet show",
                "They made puppets out of old socks and gave each one a funny voice",
                "puppet show",
            ],
            &[
                "bake a cake",
                "They mixed flour, eggs and honey and watched the cake grow in the oven",
                "cake",
            ],
            &[
                "make a band with pots and spoons",
                "They drummed on the pots and sang every song they knew",
                "band",
            ],
            &[
                "draw a map of a secret land",
                "They drew mountains, rivers and a dragon asleep on its gold",
                "map",
            ],
        ],
    },
    // What is shared: one has plenty, and half is enough.
    Table {
        name: "food",
        fields: &["name", "half"],
        rows: &[
            &["a warm apple pie", "the bigger piece of the pie"],
            &["a bag of nuts", "half of the nuts"],
            &["a basket of berries", "half of the berries"],
            &["two honey cakes", "one of the cakes"],
            &["a loaf of fresh bread", "the bigger half of the bread"],
        ],
    },
    // A noise in the night: what it sounds like, who makes it, why, what helps.
    Table {
        name: "noise",
        fields: &["sound", "maker", "why", "care"],
        rows: &[
            &[
                "a soft scratching",
                "kitten",
                "It was cold and wanted to come in",
                "wrapped it in a warm blanket",
            ],
            &[
                "a long whining",
                "puppy",
                "It was hungry and had not eaten all day",
                "gave it a bowl of warm soup",
            ],
            &[
                "a strange rustling",
                "bird",
                "Its wing was hurt and it could not fly",
                "made it a soft bed of hay",
            ],
            &[
                "a loud bumping",
                "lamb",
                "Its leg was caught in the fence",
                "bent the wire and set it free",
            ],
            &[
                "a sad little cry",
                "goat",
                "It had lost its mother in the dark",
                "led it back to its mother",
            ],
        ],
    },
];
