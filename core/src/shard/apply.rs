//! Commands applied to the members of this shard, walk by walk.
//!
//! A walk that uses up the tick's budget keeps its place and pins its list; later commands of
//! that hub wait behind it, those of other hubs do not.

use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;

use super::Shard;
use super::request::HubTurn;
use crate::ask::{Answer, Listed};
use crate::command::{Action, Command, Question, Target};
use crate::hub::{HubIndex, List, Turn, Walk};
use crate::id::{ConnectionIdText, Slot};
use crate::transport::Transport;

impl<T: Transport> Shard<T> {
    /// Applies a command from the inbox, or lets it wait for its hub's turn.
    pub(super) fn receive_command(&mut self, command: Command) {
        let Some(index) = self.hub_index.get(&command.hub).copied() else {
            return self.answer(Walk::over(command, List::All, 0..0));
        };
        match self.hub_mut(index) {
            Some(hub) if hub.is_busy() => hub.backlog.push_back(Turn::Command(command)),
            _ => self.apply(index, command),
        }
    }

    /// Goes on with the walks that were cut, and with what waits behind them: one part of the
    /// budget for each busy hub, and so many parts `for_others`.
    pub(super) fn continue_walks(&mut self, for_others: usize) {
        for waiting in (1..=self.busy_hubs.len()).rev() {
            // The hubs that are left go first in the next tick.
            if self.members_left == 0 {
                return;
            }
            let Some(index) = self.busy_hubs.pop_front() else {
                return;
            };
            let share = (self.members_left / (waiting + for_others)).max(1);
            let others = self.members_left - share;
            self.members_left = share;
            self.continue_hub(index);
            self.members_left += others;
        }
    }

    fn continue_hub(&mut self, index: HubIndex) {
        if let Some(walk) = self.hub_mut(index).and_then(|hub| hub.walk.take()) {
            self.walk(index, walk);
        }
        while let Some(hub) = self.hub_mut(index) {
            if hub.walk.is_some() {
                // `walk` put the hub back among the busy ones.
                return;
            }
            match hub.backlog.pop_front() {
                Some(Turn::Command(command)) => self.apply(index, command),
                Some(Turn::Session(key)) => self.retry(key, HubTurn::Ours),
                None => return self.end_hub_if_over(index),
            }
        }
    }

    fn apply(&mut self, index: HubIndex, command: Command) {
        let Some(hub) = self.hub_mut(index) else {
            return;
        };
        let list = match &command.target {
            Target::All => Some(List::All),
            Target::Group(name) => hub.group(name).map(|group| match &command.action {
                Action::TellGroupState { .. } => List::Subscribers(group),
                _ => List::Group(group),
            }),
            Target::User(user) => Some(List::User(Arc::clone(user))),
            Target::Connection(id) => Some(List::One(*id)),
        };
        let Some(list) = list else {
            return self.answer(Walk::over(command, List::All, 0..0));
        };
        match &command.action {
            // These change lists, so members must stay in place from the start.
            Action::Join { .. } | Action::Leave { .. } | Action::Close { .. } => hub.pin(&list),
            Action::Deliver { .. }
            | Action::Grant { .. }
            | Action::Revoke { .. }
            | Action::Ask { .. }
            | Action::TellGroupState { .. }
            | Action::AskGroupStates { .. }
            | Action::GroupStates { .. } => {}
        }
        let end = hub.places(&list);
        self.walk(index, Walk::over(command, list, 0..end));
    }

    /// Visits members until the walk or the budget ends.
    pub(super) fn walk(&mut self, index: HubIndex, mut walk: Walk) {
        match (&walk.command.action, &walk.command.selection.filter) {
            (Action::Deliver { publication }, None) if !matches!(walk.list, List::One(_)) => {
                walk.next = self.deliver(
                    index,
                    &walk.list,
                    walk.next..walk.end,
                    publication,
                    &walk.command.selection.excluded,
                );
            }
            _ => self.visit_members(index, &mut walk),
        }
        if walk.next < walk.end {
            return self.put_off(index, walk);
        }
        self.unpin(index, &walk.list);
        self.answer(walk);
        self.end_hub_if_over(index);
    }

    /// Leaves the rest of a walk that began in [`deliver`](Self::deliver) to later ticks.
    pub(super) fn walk_on(
        &mut self,
        index: HubIndex,
        command: Command,
        list: List,
        rest: Range<usize>,
    ) {
        self.put_off(index, Walk::over(command, list, rest));
    }

    fn put_off(&mut self, index: HubIndex, walk: Walk) {
        let Some(hub) = self.hub_mut(index) else {
            return;
        };
        hub.pin(&walk.list);
        hub.walk = Some(walk);
        self.busy_hubs.push_back(index);
    }

    /// Says what became of a command whose walk is over.
    fn answer(&mut self, walk: Walk) {
        if let Action::AskGroupStates { .. } = walk.command.action {
            return self.send_part(walk);
        }
        let Some(reply) = walk.command.action.reply_to() else {
            return;
        };
        let answer = match &walk.command.action {
            Action::Ask { question, .. } => match question {
                Question::Exists | Question::Recoverable => Answer::Exists(walk.applied > 0),
                Question::Allows { .. } => Answer::Allows(walk.applied > 0),
                Question::List { .. } => Answer::Page(self.page(walk.page)),
            },
            _ if walk.selected > 0 && walk.applied == 0 => Answer::Refused,
            _ => Answer::Applied(walk.applied),
        };
        self.node.asks().answer(reply, answer);
    }

    fn page(&self, ids: BinaryHeap<(ConnectionIdText, Slot)>) -> Vec<Listed> {
        let members = ids.into_sorted_vec().into_iter();
        let listed = members.filter_map(|(id, slot)| {
            let connection = self.connections.get(slot)?;
            let listed = Listed {
                connection: connection.seat.connection(),
                user: connection.session.as_ref()?.user.clone(),
            };
            // It may have gone while the walk was cut, and another come in its place.
            (listed.connection.text() == id).then_some(listed)
        });
        listed.collect()
    }
}
