(** CPython's hash array mapped trie (Python/hamt.c): its kinds of nodes, its thresholds, its levels.

    Every function recurses on [n], how many levels are left: the root has 8, and a node of level l
    tells its children apart by bits 5l to 5l+4 of the hash, [chunk n] with [n = 8 - l]. *)
From stdpp Require Import base numbers list.
From Contextvars Require Import Words Bindings SortedList.
Local Open Scope N_scope.

(** A bitmap node has a pair or a child a slot; an array node has children only. *)
Inductive kind := Bitmap | Array.

Section trie.
  Context {V : Type}.

  (** [Leaf] is a pair inside its parent, and no node of its own. The slots of a branch are those in
      use, by ascending chunk. The pairs of a collision node are in order of insertion. *)
  Inductive node :=
  | Leaf (k : key) (v : V)
  | Branch (shape : kind) (slots : list (N * node))
  | Collision (hash : N) (pairs : list (key * V)).

  Notation slots := (list (N * node)).

  (** ** Slots *)

  Fixpoint slot_find (c : N) (l : slots) : option node :=
    match l with
    | [] => None
    | (other, x) :: rest => if c =? other then Some x else slot_find c rest
    end.

  Fixpoint slot_insert (c : N) (x : node) (l : slots) : slots :=
    match l with
    | [] => [(c, x)]
    | (other, y) :: rest => if c <? other then (c, x) :: l else (other, y) :: slot_insert c x rest
    end.

  Fixpoint slot_replace (c : N) (x : node) (l : slots) : slots :=
    match l with
    | [] => []
    | (other, y) :: rest => if c =? other then (other, x) :: rest else (other, y) :: slot_replace c x rest
    end.

  Fixpoint slot_remove (c : N) (l : slots) : slots :=
    match l with
    | [] => []
    | (other, y) :: rest => if c =? other then rest else (other, y) :: slot_remove c rest
    end.

  (** ** Find ([hamt_node_find]) *)

  Fixpoint node_find (n : nat) (k : key) (t : node) : option V :=
    match n with
    | O => None
    | S below =>
        match t with
        | Leaf _ _ => None
        | Collision _ pairs => list_find k pairs
        | Branch _ l =>
            match slot_find (chunk n (key_hash k)) l with
            | None => None
            | Some (Leaf other v) => if key_eqb k other then Some v else None
            | Some x => node_find below k x
            end
        end
    end.

  (** ** Assoc ([hamt_node_assoc]) *)

  (** The most slots that a bitmap node has. *)
  Definition bitmap_most : nat := 16.

  (** A pair as a node of its own: what an array node holds for it. *)
  Definition wrap (n : nat) (x : node) : node :=
    match x with
    | Leaf k v => Branch Bitmap [(chunk n (key_hash k), Leaf k v)]
    | other => other
    end.

  (** A new slot: a bitmap node that is full becomes an array node, and its pairs nodes. *)
  Definition slot_add (n : nat) (shape : kind) (k : key) (v : V) (l : slots) : node :=
    let below := Nat.pred n in
    let c := chunk n (key_hash k) in
    match shape with
    | Bitmap =>
        if (bitmap_most <=? length l)%nat
        then Branch Array (slot_insert c (wrap below (Leaf k v)) (map (fun '(c, x) => (c, wrap below x)) l))
        else Branch Bitmap (slot_insert c (Leaf k v) l)
    | Array => Branch Array (slot_insert c (wrap below (Leaf k v)) l)
    end.

  (** [assoc] of a node other than a pair. A collision node of another hash is first wrapped in a
      bitmap node, as often as the two hashes agree ([hamt_node_collision_assoc]); two pairs of one
      slot make a collision node if their hashes are equal, else a bitmap node of the next level
      ([hamt_node_new_bitmap_or_collision]). *)
  Fixpoint node_assoc (n : nat) (k : key) (v : V) (t : node) : node :=
    match n with
    | O => t
    | S below =>
        let into (shape : kind) (l : slots) :=
          let c := chunk n (key_hash k) in
          match slot_find c l with
          | None => slot_add n shape k v l
          | Some (Leaf other w) =>
              if key_eqb k other then Branch shape (slot_replace c (Leaf other v) l)
              else if key_hash k =? key_hash other
              then Branch shape (slot_replace c (Collision (key_hash k) [(other, w); (k, v)]) l)
              else Branch shape
                     (slot_replace c (node_assoc below k v (node_assoc below other w (Branch Bitmap []))) l)
          | Some x => Branch shape (slot_replace c (node_assoc below k v x) l)
          end in
        match t with
        | Leaf _ _ => t
        | Branch shape l => into shape l
        | Collision hash pairs =>
            if key_hash k =? hash
            then Collision hash
                   (match list_find k pairs with
                    | Some _ => list_replace k v pairs
                    | None => pairs ++ [(k, v)]
                    end)
            else into Bitmap [(chunk n hash, t)]
        end
    end.

  (** ** Without ([hamt_node_without]) *)

  Inductive removal := Absent | Emptied | Left (t : node).

  (** A bitmap node of one pair is that pair inside its parent. *)
  Definition inline (t : node) : node :=
    match t with
    | Branch Bitmap [(_, Leaf k v)] => Leaf k v
    | other => other
    end.

  Fixpoint node_without (n : nat) (k : key) (t : node) : removal :=
    match n with
    | O => Absent
    | S below =>
        match t with
        | Leaf _ _ => Absent
        | Collision hash pairs =>
            match list_find k pairs with
            | None => Absent
            | Some _ =>
                match list_without k pairs with
                | [] => Emptied
                | [(other, w)] => Left (Branch Bitmap [(chunk n hash, Leaf other w)])
                | pairs => Left (Collision hash pairs)
                end
            end
        | Branch shape l =>
            let c := chunk n (key_hash k) in
            match slot_find c l with
            | None => Absent
            | Some (Leaf other w) =>
                if key_eqb k other
                then match slot_remove c l with [] => Emptied | l => Left (Branch shape l) end
                else Absent
            | Some x =>
                match node_without below k x with
                | Absent => Absent
                | Left y =>
                    Left (Branch shape
                            (slot_replace c (match shape with Bitmap => inline y | Array => y end) l))
                | Emptied =>
                    let l := slot_remove c l in
                    Left match shape with
                         | Bitmap => Branch Bitmap l
                         | Array =>
                             if (bitmap_most <=? length l)%nat then Branch Array l
                             else Branch Bitmap (map (fun '(c, x) => (c, inline x)) l)
                         end
                end
            end
        end
    end.

  (** ** Iteration ([hamt_iterator_next]) *)

  Fixpoint node_items (n : nat) (t : node) : list (key * V) :=
    match n with
    | O => []
    | S below =>
        match t with
        | Leaf _ _ => []
        | Collision _ pairs => pairs
        | Branch _ l =>
            flat_map (fun '(_, x) => match x with Leaf k v => [(k, v)] | x => node_items below x end) l
        end
    end.

  (** ** The whole map ([PyHamtObject]) *)

  Record hamt := Hamt { root : node; size : N }.

  Definition levels : nat := 8.

  Definition hamt_empty : hamt := Hamt (Branch Bitmap []) 0.
  Definition hamt_find (k : key) (m : hamt) : option V := node_find levels k (root m).
  Definition hamt_assoc (k : key) (v : V) (m : hamt) : hamt :=
    Hamt (node_assoc levels k v (root m))
      (match hamt_find k m with Some _ => size m | None => size m + 1 end).
  Definition hamt_without (k : key) (m : hamt) : hamt :=
    match node_without levels k (root m) with
    | Absent => m
    | Emptied => hamt_empty
    | Left t => Hamt t (size m - 1)
    end.
  Definition hamt_items (m : hamt) : list (key * V) := node_items levels (root m).
End trie.

Arguments node : clear implicits.
Arguments removal : clear implicits.
Arguments hamt : clear implicits.

Global Instance hamt_bindings : Bindings (hamt value) := {
  empty_map := hamt_empty;
  find := hamt_find;
  assoc := hamt_assoc;
  without := hamt_without;
  count := size;
  items := hamt_items;
}.
